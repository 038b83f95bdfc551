/**
 * Response headers that are sent repeatedly, as text.
 */

/** Headers that affect the connection or the framing. */
const SPECIAL: ReadonlySet<string> = new Set(['trailer', 'connection', 'keep-alive', 'transfer-encoding'])

/**
 * The status line and headers of a response that is sent repeatedly, as one text.
 * @returns null if they depend on the response: no Date, no length, or connection headers
 */
export function headText(status: number, reason: string, fields: readonly string[]): string | null {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  let framed = status === 204
  let dated = false
  for (let i = 0; i < fields.length; i += 2) {
    const lower = (fields[i] as string).toLowerCase()
    if (SPECIAL.has(lower)) return null
    dated ||= lower === 'date'
    framed ||= lower === 'content-length'
    text += `${fields[i]}: ${fields[i + 1]}\r\n`
  }
  // Flattened: otherwise each use would concatenate it again.
  return framed && dated ? Buffer.from(text, 'latin1').toString('latin1') : null
}
