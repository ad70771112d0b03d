# SSH by key only; who came in and who tried is in the logs: docs/services/ssh.md.
{
  services.openssh = {
    enable = true;
    settings = {
      PasswordAuthentication = false;
      PermitRootLogin = "no";
    };
  };
  security.sudo.enable = true;
  users.users.ada = {
    isNormalUser = true;
    extraGroups = [ "wheel" ];
    openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA…your key… ada@laptop" ];
  };
}
