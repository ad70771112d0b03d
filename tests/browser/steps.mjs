// Steps of a test that follow each other.
import assert from "node:assert/strict";
import { test } from "node:test";

/** It takes no service worker from a certificate that it was only told to put up with. */
const HARMLESS = "SSL certificate error occurred when fetching the script";

/** The browser may complain of nothing in any of them; where one fails, `name`-failed.png shows it.
 * `current` tells the session, and its page and problems once there are some. */
export function stepsOf(name, current) {
  return (title, run) =>
    test(title, async () => {
      try {
        await run();
      } catch (error) {
        const { session, page } = current();
        if (page) await session.shootOnce(page, `${name}-failed`);
        throw error;
      }
      const { problems } = current();
      const real = problems.splice(0).filter((it) => !it.includes(HARMLESS));
      assert.deepEqual(real, [], "the browser complained");
    });
}
