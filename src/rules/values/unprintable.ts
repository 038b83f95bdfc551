/**
 * Characters that do something to a terminal or an editor instead of being shown: controls, line and paragraph separators, and
 * those that turn the direction of text around, so that a line reads as another than it is.
 */

/** All but tab and line feed. */
export const UNPRINTABLE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** A JSON text that means the same, with these characters as escapes: inside a string is the only place where it can have them. */
export function escapedJson(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
