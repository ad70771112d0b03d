# A unit file as the attributes of `systemd.services.<name>`, so that a NixOS machine runs what the
# packages for other distributions run, hardened alike, and no second copy goes stale.
{ lib }:
path:
let
  inherit (builtins)
    elemAt
    filter
    foldl'
    head
    match
    readFile
    ;
  lines = filter (it: match "[[:space:]]*([#;].*)?" it == null) (lib.splitString "\n" (readFile path));
  # Lines of `[Section]` and `Key=value`; a key that comes twice is a list, an empty value ends it.
  read =
    seen: line:
    let
      section = match "\\[([A-Za-z]+)]" line;
      pair = match "([A-Za-z]+)=(.*)" line;
      key = elemAt pair 0;
      value = elemAt pair 1;
      before = seen.sections.${seen.at} or { };
      known = before.${key} or null;
      together =
        if known == null then
          value
        else if builtins.isList known then
          known ++ [ value ]
        else
          [
            known
            value
          ];
    in
    if section != null then
      seen // { at = head section; }
    else if pair == null then
      throw "${toString path}: line `${line}' is no section and no setting"
    else
      seen
      // {
        sections = seen.sections // {
          ${seen.at} = before // {
            ${key} = together;
          };
        };
      };
  sections =
    (foldl' read {
      at = "";
      sections = { };
    } lines).sections;
  words = it: filter (word: word != "") (lib.splitString " " it);
in
{
  # To be merged with what each module says of its own.
  base = {
    description = sections.Unit.Description;
    after = words sections.Unit.After;
    wants = words sections.Unit.Wants;
    wantedBy = words sections.Install.WantedBy;
  };
  service = sections.Service;
}
