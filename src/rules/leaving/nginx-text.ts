/**
 * The words of nginx' configuration. Everything from a table goes through `quoted` or `interpolated`.
 */

/** nginx reads its file in pieces of 4096 bytes, and refuses a word that does not fit in one. */
const MAX_WORD = 4000

/** A word in quotes, in which a backslash and a quote stand for themselves only behind a backslash. */
export function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`
}

/** A variable that holds a dollar sign: nginx has no other way to write one where variables are filled in. */
export const DOLLAR = `\${banyan_dollar}`

/** A text for a place where nginx fills in variables. */
export function interpolated(text: string): string {
  return text.replaceAll('$', DOLLAR)
}

/** Whether a word is short enough for nginx. */
export function fits(word: string): boolean {
  return new TextEncoder().encode(word).length <= MAX_WORD
}

/** Milliseconds as nginx reads them. */
export function nginxTime(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}
