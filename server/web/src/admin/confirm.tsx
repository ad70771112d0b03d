// Asks before something ends that cannot be brought back.
import { useDoing } from "../ui/doing";
import { Modal } from "../ui/modal";
import { Trouble } from "../ui/trouble";

interface Props {
  title: string;
  /** What it means for somebody. */
  text: string;
  action: string;
  run: () => Promise<unknown>;
  /** After it, or without it. */
  onClose: () => void;
}

export function Confirm({ title, text, action, run, onClose }: Props) {
  const { isBusy, error, run: confirm } = useDoing();
  const confirmed = () =>
    confirm(async () => {
      await run();
      onClose();
    });
  return (
    <Modal title={title} onClose={onClose}>
      <div class="form-rows">
        <p>{text}</p>
        <Trouble error={error} />
        <div class="buttons">
          <button type="button" class="primary" disabled={isBusy} onClick={confirmed}>
            {action}
          </button>
          <button type="button" onClick={onClose}>
            Keep it
          </button>
        </div>
      </div>
    </Modal>
  );
}
