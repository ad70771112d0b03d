// What went wrong in a panel that goes on trying; that the server is away is the banner's to say.
import { Away } from "../api/client";

export function Trouble({ error }: { error: Error | undefined }) {
  if (!error || error instanceof Away) return null;
  return (
    <p class="error" role="alert">
      {error.message}
    </p>
  );
}
