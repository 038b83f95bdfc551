/**
 * The other end of the scale: reads requests by the grammar of RFC 9112 and complains of whatever has two readings.
 */

export interface StrictMessage {
  readonly method: string
  readonly target: string
  /** Names in lower case. */
  readonly fields: readonly (readonly [string, string])[]
  readonly body: string
  readonly trailers: string
}

export interface StrictReading {
  readonly messages: readonly StrictMessage[]
  /** Bytes behind the last complete message. */
  readonly rest: string
  /** What is malformed or ambiguous, or null. */
  readonly problem: string | null
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const HEAD = new RegExp(
  `^(${TOKEN}) ([!-~\\x80-\\xff]+) HTTP/1\\.1\\r\\n((?:${TOKEN}:[\\t -~\\x80-\\xff]*\\r\\n)*)\\r\\n`,
)
const TRAILERS = new RegExp(`^((?:${TOKEN}:[\\t -~\\x80-\\xff]*\\r\\n)*)\\r\\n`)
const HOST = /^[A-Za-z0-9._~%!$&'()*+;=[\]-]+(:[0-9]*)?$|^\[[0-9A-Fa-f:.]+\](:[0-9]*)?$/

/** Reads all messages of one connection. */
export function readStrictly(bytes: string): StrictReading {
  const messages: StrictMessage[] = []
  let rest = bytes
  while (rest !== '') {
    const head = HEAD.exec(rest)
    if (head === null) return { messages, rest, problem: /\r\n\r\n/.test(rest) ? 'a malformed head' : null }
    const fields = (head[3] as string)
      .split('\r\n')
      .slice(0, -1)
      .map(
        (line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const,
      )
    const problem = problemOf(fields)
    if (problem !== null) return { messages, rest, problem }
    const body = bodyOf(fields, rest.slice(head[0].length))
    if (typeof body === 'string') return { messages, rest, problem: body }
    if (body === null) return { messages, rest, problem: null }
    messages.push({ method: head[1] as string, target: head[2] as string, fields, ...body })
    rest = rest.slice(head[0].length + body.next)
  }
  return { messages, rest, problem: null }
}

function problemOf(fields: readonly (readonly [string, string])[]): string | null {
  const valuesOf = (name: string) => fields.filter(([field]) => field === name).map(([, value]) => value)
  const hosts = valuesOf('host')
  const lengths = valuesOf('content-length')
  const codings = valuesOf('transfer-encoding')
  if (hosts.length !== 1 || !HOST.test(hosts[0] as string)) return `Host: ${hosts.join(' | ')}`
  if (lengths.length + codings.length > 1) return `framing: ${[...lengths, ...codings].join(' | ')}`
  if (lengths.length === 1 && !/^[0-9]{1,15}$/.test(lengths[0] as string)) return `Content-Length: ${lengths[0]}`
  if (codings.length === 1 && !/^chunked$/i.test(codings[0] as string)) return `Transfer-Encoding: ${codings[0]}`
  // What a lenient server would take for one of the two that frame.
  const alike = fields.find(([name]) => /^(content_length|transfer_encoding)$/.test(name))
  return alike === undefined ? null : `${alike[0]} beside the framing`
}

type Body = { readonly body: string; readonly trailers: string; readonly next: number }

function bodyOf(fields: readonly (readonly [string, string])[], rest: string): Body | string | null {
  const length = fields.find(([name]) => name === 'content-length')
  if (length !== undefined) {
    const bytes = Number(length[1])
    return rest.length < bytes ? null : { body: rest.slice(0, bytes), trailers: '', next: bytes }
  }
  if (!fields.some(([name]) => name === 'transfer-encoding')) return { body: '', trailers: '', next: 0 }
  let body = ''
  let at = 0
  for (;;) {
    const size = /^([0-9a-f]{1,13})\r\n/i.exec(rest.slice(at))
    if (size === null) return /^[0-9a-f]{0,13}\r?$/i.test(rest.slice(at)) ? null : 'a malformed chunk size'
    at += size[0].length
    const bytes = Number.parseInt(size[1] as string, 16)
    if (bytes === 0) break
    if (rest.length < at + bytes + 2) return null
    body += rest.slice(at, at + bytes)
    at += bytes
    if (rest.slice(at, at + 2) !== '\r\n') return 'a chunk longer than its size'
    at += 2
  }
  const trailers = TRAILERS.exec(rest.slice(at))
  if (trailers === null) return /\r\n\r\n/.test(rest.slice(at)) ? 'a malformed trailer section' : null
  if (/^(content-length|transfer-encoding|host):/im.test(trailers[1] as string)) return 'a forbidden trailer'
  return { body, trailers: trailers[1] as string, next: at + trailers[0].length }
}
