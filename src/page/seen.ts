/**
 * Whether somebody sees the tab. A browser has six connections to a host for all its tabs together: a stream in each of those that nobody
 * sees would leave none for the one that somebody does.
 */

/** Resolves when the tab is seen, at once if it is. */
export async function whenSeen(): Promise<void> {
  if (!document.hidden) return
  await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }))
}

/** Calls `leave` each time that the tab has not been seen for so long. */
export function onUnseen(afterMs: number, leave: () => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer)
    if (document.hidden) timer = setTimeout(leave, afterMs)
  })
}
