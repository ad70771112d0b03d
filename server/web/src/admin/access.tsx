// Who may come in: tokens, logins and people, and how to end each.
import { Sessions } from "./sessions";
import { Tokens } from "./tokens";
import { Users } from "./users";

export function AccessView() {
  return (
    <>
      <Tokens />
      <Sessions />
      <Users />
    </>
  );
}
