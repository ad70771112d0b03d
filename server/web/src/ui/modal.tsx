// A dialog above the page: the browser keeps the focus in it, and Escape closes it.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import "./modal.css";

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

export function Modal({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  // Before the browser paints: a key pressed on what is seen has to find it modal already.
  useLayoutEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      class="modal"
      ref={dialog}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => {
        // The dialog's own box is padded by its children: only what is around it is itself.
        if (event.target === event.currentTarget) onClose();
      }}
    >
      <div class="modal-body">
        <div class="panel-head">
          <h2 class="grow">{title}</h2>
          <button type="button" onClick={onClose}>
            Close
          </button>
        </div>
        {children}
      </div>
    </dialog>
  );
}
