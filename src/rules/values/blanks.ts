/**
 * White space of HTTP: spaces and tabs (RFC 9110 section 5.6.3). In bytes as Latin-1 `trim()` would take more: U+00A0 is the last
 * byte of `à` in UTF-8.
 */

/** A text without spaces and tabs around it. */
export function withoutBlanks(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}
