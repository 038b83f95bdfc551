/**
 * Texts that outlive the message they were read from. V8 cuts a text of 13 characters or more out of a longer one without a copy:
 * kept as it is, it would keep a whole head in memory, whatever is counted for it.
 */

/** The texts with characters of their own. @param texts without line feeds, Latin-1, as everything in a head is */
export function ownTexts(texts: readonly string[]): string[] {
  // Cut out again, but of a text that holds nothing else.
  return texts.length === 0 ? [] : Buffer.from(texts.join('\n'), 'latin1').toString('latin1').split('\n')
}

/** A text with characters of its own, whatever they are. */
export function ownText(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}
