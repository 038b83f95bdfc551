/**
 * Nothing is drawn while somebody presses a button or a link: what they see is what they get, even if a row came in above it meanwhile.
 */
import { options } from 'preact'

const PRESSED = 'a, button, summary'

/** Holds back what is drawn between the press and the click. */
export function holdWhilePressed(): void {
  let isPressed = false
  let held: (() => void) | null = null
  const release = (): void => {
    if (!isPressed) return
    isPressed = false
    const draw = held
    held = null
    // The click comes right behind, in the same task.
    if (draw !== null) setTimeout(draw)
  }
  options.debounceRendering = (draw) => {
    if (isPressed) held = draw
    else queueMicrotask(draw)
  }
  addEventListener('pointerdown', ({ target }) => {
    isPressed = target instanceof Element && target.closest(PRESSED) !== null
  })
  for (const end of ['pointerup', 'pointercancel', 'blur']) addEventListener(end, release)
  // It was let go where no event tells of it, such as beyond the window.
  addEventListener('pointermove', ({ buttons }) => {
    if (buttons === 0) release()
  })
}
