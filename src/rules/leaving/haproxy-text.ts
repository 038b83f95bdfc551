/**
 * The words of HAProxy's configuration. Everything from a table goes through `quoted` or `formatted`.
 */

/** Names that need no quotes anywhere, in the arguments of a sample either. */
export const WORD = /^[A-Za-z0-9_.-]{1,100}$/

/** A word in which everything stands for itself: only a single quote ends it, and is written between two such words. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** A text for a place where HAProxy fills in samples. */
export function formatted(text: string): string {
  return text.replaceAll('%', '%%')
}

/** A line has room for this and more. */
const MAX_WORD = 8000

/** Whether a word is short enough for HAProxy. */
export function fits(word: string): boolean {
  return new TextEncoder().encode(word).length <= MAX_WORD
}

/** Milliseconds as HAProxy reads them. */
export function haproxyTime(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}
