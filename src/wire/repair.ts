/**
 * Repairs the response heads of old servers, for upstreams with `lenient: true`: line ends, field syntax, and framing that breaks
 * the rules but can be read in one way only.
 */
import type { Lines } from './fields.ts'

/** A head or trailer section, repaired where necessary: up to its last CRLF, without the empty line. */
export interface Repaired extends Lines {
  /** Its length in the input, including the empty line. */
  readonly length: number
  /** Something was repaired. */
  readonly repaired: boolean
}

/** A line that frames the body, or that some parsers would take for one. */
const FRAMES = /^[^:]*(?:content.?length|transfer.?encoding)[^:]*:/i
const CODING = /^transfer-encoding:[ \t]*(.*?)[ \t]*$/i
const LENGTHS = /^content-length:[ \t]*([0-9]+(?:[ \t]*,[ \t]*[0-9]+)*)[ \t]*$/i

/**
 * Rewrites a head so that the strict parser can read it: bare LF line ends, folded lines, white space before the colon,
 * control characters in values (each becomes a space); equal lengths, in several lines or in one; `chunked` more than once, or
 * with a length, which it overrides (RFC 9112 section 6.3); `identity`. Lines that frame the body are otherwise left as they are:
 * parsers differ in how they read such lines, which is what makes smuggling possible.
 * @param bytes Latin-1 text that begins with a head
 * @returns null while the head is not complete
 */
export function repairHead(bytes: string): Repaired | null {
  const end = /\r?\n\r?\n/.exec(bytes)
  if (end === null) return null
  const length = end.index + end[0].length
  const lines = unfold(bytes.slice(0, end.index).split(/\r?\n/)).map((line, i) => (i === 0 ? line : repairLine(line)))
  const text = `${settleFraming(lines).join('\r\n')}\r\n`
  return {
    text,
    bytes: Buffer.from(text, 'latin1'),
    from: 0,
    length,
    repaired: `${text}\r\n` !== bytes.slice(0, length),
  }
}

/** RFC 9112 section 5.2: a folded line continues the value before it. */
function unfold(lines: readonly string[]): string[] {
  const out: string[] = []
  for (const [i, line] of lines.entries()) {
    const before = out.at(-1)
    if (i < 2 || before === undefined || !/^[ \t]/.test(line) || FRAMES.test(before)) out.push(line)
    else out[out.length - 1] = `${before.trimEnd()} ${line.trimStart()}`
  }
  return out
}

function repairLine(line: string): string {
  if (FRAMES.test(line)) return line
  return line.replace(/^([^\s:]+)[ \t]+:/, '$1:').replace(/[\x00-\x08\x0b-\x1f\x7f]/g, ' ')
}

/** Reduces the lines that frame the body to one, if they all agree. */
function settleFraming(lines: readonly string[]): string[] {
  const lengths = new Set(lines.flatMap((line) => wordsOf(LENGTHS, line)))
  const codings = lines.flatMap((line) => wordsOf(CODING, line))
  const chunked = codings.length > 0 && codings.every((coding) => coding === 'chunked')
  const identity = codings.length === 1 && codings[0] === 'identity'
  const kept = { length: false, coding: false }
  return lines.flatMap((line) => {
    if (CODING.test(line) && (chunked || identity)) {
      if (identity || kept.coding) return []
      kept.coding = true
      return codings.length === 1 ? line : 'Transfer-Encoding: chunked'
    }
    if (!LENGTHS.test(line) || lengths.size !== 1) return line
    if (chunked || kept.length) return []
    kept.length = true
    return wordsOf(LENGTHS, line).length === 1 ? line : `Content-Length: ${[...lengths][0]}`
  })
}

function wordsOf(kind: RegExp, line: string): string[] {
  const value = kind.exec(line)?.[1]
  return value === undefined ? [] : value.toLowerCase().split(/[ \t]*,[ \t]*/)
}
