# The functions of nixpkgs' `lib` that our files call, and a small module system.
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    functionArgs
    hasAttr
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    match
    removeAttrs
    substring
    tail
    ;

  # --- small things -------------------------------------------------------------------------
  genAttrs =
    names: f:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  optional = condition: it: if condition then [ it ] else [ ];
  optionals = condition: them: if condition then them else [ ];
  optionalAttrs = condition: them: if condition then them else { };
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  filterAttrs =
    keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
  hasPrefix = prefix: text: substring 0 (builtins.stringLength prefix) text == prefix;
  unique = foldl' (seen: it: if elem it seen then seen else seen ++ [ it ]) [ ];
  concatStringsSep = builtins.concatStringsSep;
  splitString = by: text: filter isString (builtins.split (escapeRegex by) text);
  escapeRegex = builtins.replaceStrings [ "." "=" "\n" ] [ "[.]" "=" "\n" ];
  nameValuePair = name: value: { inherit name value; };
  showPath = concatStringsSep ".";

  # --- definitions and their properties ------------------------------------------------------
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  normal = 100;
  optionDefault = 1500;
  kind = it: if isAttrs it then it._type or "" else "";

  # A tree's properties go down to what is below it, so that a condition is only asked for by who
  # reads what it is about.
  pushDown =
    tree:
    {
      merge = concatMap pushDown tree.contents;
      "if" = map (mapAttrs (_: mkIf tree.condition)) (pushDown tree.content);
      override = map (mapAttrs (_: mkOverride tree.priority)) (pushDown tree.content);
    }
    .${kind tree} or [ tree ];

  # What is left of one definition of an option: values with their priorities.
  discharge =
    definition:
    {
      merge = concatMap discharge definition.contents;
      "if" = if definition.condition then discharge definition.content else [ ];
      override = map (it: it // { inherit (definition) priority; }) (discharge definition.content);
    }
    .${kind definition} or [
      {
        value = definition;
        priority = normal;
      }
    ];

  strongest =
    definitions:
    let
      least = foldl' (a: it: if it.priority < a then it.priority else a) optionDefault definitions;
    in
    map (it: it.value) (filter (it: it.priority == least) definitions);

  # --- types: a check, and how values become one -----------------------------------------------
  mkType =
    {
      description,
      check,
      merge ? one description,
      getSubOptions ? _: { },
    }:
    {
      _type = "option-type";
      inherit
        description
        check
        getSubOptions
        ;
      merge =
        path: values:
        let
          wrong = filter (it: !check it) values;
        in
        if wrong == [ ] then
          merge path values
        else
          throw "A definition for option `${showPath path}' is not of type `${description}'. Definition values: ${show (head wrong)}";
    };
  show =
    it:
    let
      tried = builtins.tryEval (builtins.toJSON it);
    in
    if isFunction it then "a function" else if tried.success then tried.value else "a value";
  one =
    _: path: values:
    if all (it: it == head values) values then
      head values
    else
      throw "The option `${showPath path}' has conflicting definition values: ${concatStringsSep " and " (map show values)}";

  # Values of free form: attribute sets become one, lists follow each other.
  mergeFree =
    path: definitions:
    let
      values = strongest definitions;
      names = unique (concatMap attrNames trees);
      trees = concatMap pushDown values;
      below = name: concatMap (it: if hasAttr name it then discharge it.${name} else [ ]) trees;
    in
    if all (it: isAttrs it && !(it ? outPath)) values then
      listToAttrs (
        concatMap (
          name: optional (below name != [ ]) (nameValuePair name (mergeFree (path ++ [ name ]) (below name)))
        ) names
      )
    else if all isList values then
      concatLists values
    else
      one null path values;
  asDefinitions = map (value: {
    inherit value;
    priority = normal;
  });

  types = rec {
    str = mkType {
      description = "string";
      check = isString;
    };
    bool = mkType {
      description = "boolean";
      check = isBool;
    };
    int = mkType {
      description = "signed integer";
      check = isInt;
    };
    port = mkType {
      description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)";
      check = it: isInt it && it >= 0 && it <= 65535;
    };
    lines = mkType {
      description = "strings concatenated with \"\\n\"";
      check = isString;
      merge = _: concatStringsSep "\n";
    };
    package = mkType {
      description = "package";
      check = it: isAttrs it && it ? outPath;
    };
    anything = mkType {
      description = "anything";
      check = _: true;
      merge = path: values: mergeFree path (asDefinitions values);
    };
    attrs = anything;
    strMatching =
      pattern:
      mkType {
        description = "string matching the pattern ${pattern}";
        check = it: isString it && match pattern it != null;
      };
    enum =
      values:
      mkType {
        description = "one of ${concatStringsSep ", " (map show values)}";
        check = it: elem it values;
      };
    nullOr =
      type:
      mkType {
        description = "null or ${type.description}";
        check = it: it == null || type.check it;
        merge =
          path: values:
          if all (it: it == null) values then null else type.merge path (filter (it: it != null) values);
        inherit (type) getSubOptions;
      };
    either =
      a: b:
      mkType {
        description = "${a.description} or ${b.description}";
        check = it: a.check it || b.check it;
        merge = path: values: (if all a.check values then a else b).merge path values;
      };
    oneOf = ts: foldl' either (head ts) (tail ts);
    listOf =
      type:
      mkType {
        description = "list of ${type.description}";
        check = isList;
        merge = path: values: map (it: type.merge (path ++ [ "*" ]) [ it ]) (concatLists values);
        getSubOptions = path: type.getSubOptions (path ++ [ "*" ]);
      };
    attrsOf =
      type:
      mkType {
        description = "attribute set of ${type.description}";
        check = isAttrs;
        merge =
          path: values:
          let
            trees = concatMap pushDown values;
            definitions = name: concatMap (it: if hasAttr name it then discharge it.${name} else [ ]) trees;
            names = filter (name: definitions name != [ ]) (unique (concatMap attrNames trees));
          in
          genAttrs names (name: type.merge (path ++ [ name ]) (strongest (definitions name)));
        getSubOptions = path: type.getSubOptions (path ++ [ "<name>" ]);
      };
    submodule =
      module:
      let
        eval =
          path: values:
          evalModules {
            modules = [ module ] ++ map (it: if isAttrs it then { config = it; } else it) values;
            prefix = path;
            specialArgs.name = if path == [ ] then "" else elemAt path (length path - 1);
          };
      in
      mkType {
        description = "submodule";
        check = it: isAttrs it || isFunction it || isPath it;
        merge = path: values: (eval path values).config;
        getSubOptions = path: (eval path [ ]).options;
      };
  };

  # --- modules -------------------------------------------------------------------------------
  mkOption = option: option // { _type = "option"; };
  mkEnableOption =
    what:
    mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${what}.";
    };
  isOption = it: kind it == "option";

  # A module and all that it imports, as `{ options, config, freeform }`.
  collect =
    args: module:
    let
      loaded = if isPath module || isString module then import module else module;
      it =
        if isFunction loaded then
          loaded (mapAttrs (name: _: args.${name} or (throw "no module argument `${name}'")) (functionArgs loaded))
        else
          loaded;
      isLong = it ? config || it ? options;
      freeform = it.freeformType or null;
      plain = removeAttrs it [
        "imports"
        "_file"
        "freeformType"
        "options"
        "config"
      ];
      wrong = attrNames plain;
    in
    concatMap (collect args) (it.imports or [ ])
    ++ [
      (
        if isLong && wrong != [ ] then
          throw "Module has an unsupported attribute `${head wrong}'; with `options' or `config' all definitions belong into `config'"
        else
          {
            options = it.options or { };
            config = if isLong then it.config or { } else plain;
            inherit freeform;
          }
      )
    ];

  mergeOptions =
    a: b:
    a
    // mapAttrs (
      name: it:
      if !(hasAttr name a) then
        it
      else if isOption it || isOption a.${name} then
        throw "The option `${name}' is declared twice"
      else
        mergeOptions a.${name} it
    ) b;

  evalOption =
    path: option: definitions:
    let
      all' =
        definitions
        ++ optional (option ? default) {
          value = option.default;
          priority = optionDefault;
        };
      value =
        if all' == [ ] then
          throw "The option `${showPath path}' is used but not defined."
        else
          option.type.merge path (strongest all');
    in
    (option.apply or (it: it)) value;

  evalTree =
    path: options: freeform: trees:
    let
      below = name: concatMap (it: optional (hasAttr name it) it.${name}) trees;
      declared = mapAttrs (
        name: option:
        if isOption option then
          evalOption (path ++ [ name ]) option (concatMap discharge (below name))
        else
          evalTree (path ++ [ name ]) option null (concatMap pushDown (below name))
      ) options;
      unknown = filter (name: !(hasAttr name options)) (unique (concatMap attrNames trees));
      free =
        if unknown == [ ] then
          { }
        else if freeform == null then
          throw "The option `${showPath (path ++ [ (head unknown) ])}' does not exist."
        else
          freeform.merge path (map (it: removeAttrs it (attrNames options)) trees);
    in
    free // declared;

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      args = specialArgs // {
        inherit lib options config;
      };
      collected = concatMap (collect args) modules;
      options = foldl' (a: it: mergeOptions a it.options) { } collected;
      freeforms = filter (it: it != null) (map (it: it.freeform) collected);
      freeform = if freeforms == [ ] then null else head freeforms;
      config = evalTree prefix options freeform (concatMap (it: pushDown it.config) collected);
    in
    {
      inherit options config;
      _type = "configuration";
    };

  lib = {
    inherit
      all
      any
      concatMap
      concatStringsSep
      elem
      escapeRegex
      evalModules
      filter
      filterAttrs
      genAttrs
      hasPrefix
      isOption
      mapAttrs
      mapAttrsToList
      mkEnableOption
      mkIf
      mkMerge
      mkOption
      mkOverride
      nameValuePair
      optional
      optionalAttrs
      optionals
      splitString
      types
      unique
      listToAttrs
      ;
    inherit (builtins) attrNames attrValues;
    toInt = builtins.fromJSON;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    importTOML = path: builtins.fromTOML (builtins.readFile path);
    getExe = package: "${package}/bin/${package.meta.mainProgram}";
    getExe' = package: name: "${package}/bin/${name}";
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    # Whole folders instead of chosen files: evaluation only needs that they are there.
    fileset = {
      unions = them: all builtins.pathExists them;
      toSource =
        { root, fileset }:
        assert fileset;
        root;
    };
    licenses = {
      mit.spdxId = "MIT";
      asl20.spdxId = "Apache-2.0";
      gpl2Only.spdxId = "GPL-2.0-only";
    };
    platforms.linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];
    fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  };
in
lib
