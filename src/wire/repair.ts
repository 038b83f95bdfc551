/**
 * Mends the heads of old servers for upstreams that say `lenient: true`: line ends and field syntax, never framing.
 */

/** A mended head. */
export interface Repaired {
  /** The head up to its last CRLF, without the empty line. */
  readonly text: string
  /** Characters of the input that the head took, with its empty line. */
  readonly length: number
  /** What was mended, for log and metrics, or null where nothing had to be. */
  readonly what: string | null
}

/** A line that frames the body, or that some would take for one. */
const FRAMES = /^[^:]*(?:content.?length|transfer.?encoding)[^:]*:/i

/**
 * Rewrites a head so that the strict parser can read it: bare LF line ends, folded lines, white space before the colon,
 * control characters in values (each becomes a space), repeated equal Content-Length lines. The lines that frame the body
 * are left as they are otherwise: how others read such a line differs, and that is how smuggling works.
 * @param bytes Latin-1 text that begins with a head
 * @returns null while the head is not complete
 */
export function repairHead(bytes: string): Repaired | null {
  const end = /\r?\n\r?\n/.exec(bytes)
  if (end === null) return null
  const mended = new Set<string>()
  const text = bytes.slice(0, end.index)
  if (/(^|[^\r])\n/.test(text) || end[0] !== '\r\n\r\n') mended.add('bare LF')
  const lines = unfold(text.split(/\r?\n/), mended).map((line, i) => (i === 0 ? line : repairLine(line, mended)))
  const kept = dropRepeatedLengths(lines, mended)
  return {
    text: `${kept.join('\r\n')}\r\n`,
    length: end.index + end[0].length,
    what: mended.size === 0 ? null : [...mended].join(', '),
  }
}

/** RFC 9112 section 5.2: a folded line goes on in the value before it. */
function unfold(lines: readonly string[], mended: Set<string>): string[] {
  const out: string[] = []
  for (const [i, line] of lines.entries()) {
    const before = out.at(-1)
    if (i < 2 || before === undefined || !/^[ \t]/.test(line) || FRAMES.test(before)) {
      out.push(line)
      continue
    }
    mended.add('folded line')
    out[out.length - 1] = `${before.trimEnd()} ${line.trimStart()}`
  }
  return out
}

function repairLine(line: string, mended: Set<string>): string {
  if (FRAMES.test(line)) return line
  const closed = line.replace(/^([^\s:]+)[ \t]+:/, (_, name: string) => {
    mended.add('white space before the colon')
    return `${name}:`
  })
  return closed.replace(/[\x00-\x08\x0b-\x1f\x7f]/g, () => {
    mended.add('control character')
    return ' '
  })
}

function dropRepeatedLengths(lines: readonly string[], mended: Set<string>): string[] {
  let seen: string | null = null
  return lines.filter((line) => {
    const length = /^content-length:[ \t]*([0-9]+)[ \t]*$/i.exec(line)
    if (length === null) return true
    if (seen === null) {
      seen = length[1] as string
      return true
    }
    if (length[1] !== seen) return true
    mended.add('repeated Content-Length')
    return false
  })
}
