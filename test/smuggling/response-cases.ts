/**
 * Malformed and ambiguous answers of an upstream, and what must become of each. Data only; responses.test.ts plays them.
 *
 * Longer than most files: it is one list.
 */

/** What must become of an answer. In each case but `reused` the upstream connection is not used again. */
export type Outcome =
  /** The client gets 502 from banyan. */
  | 'refused'
  /** The client gets nothing that could be taken for a complete answer. */
  | 'broken'
  | {
      readonly status: number
      readonly body: string
      /** The answer is well-formed after all: its connection serves the next request. */
      readonly reused?: true
    }

export interface ResponseCase {
  readonly name: string
  /** Latin-1 text as the upstream sends it. */
  readonly bytes: string
  readonly outcome: Outcome
  /** Default GET. */
  readonly method?: string
  /** Default: the upstream leaves its connection open. */
  readonly ending?: 'end' | 'reset'
  /** Sent by the upstream once the client has its answer. */
  readonly late?: string
}

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`
/** What a case would have a client take for an answer of its own. */
const EVIL = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL'

const REFUSED: readonly (readonly [string, string])[] = [
  ['both lengths', `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${EVIL}`],
  ['both lengths, the other way round', `${OK}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${EVIL}`],
  ['two lengths', `${OK}Content-Length: 0\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`],
  ['the same length twice', `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`],
  ['a list of lengths', `${OK}Content-Length: 2, 2\r\n\r\nok`],
  ['a sign before the length', `${OK}Content-Length: +2\r\n\r\nok`],
  ['a hexadecimal length', `${OK}Content-Length: 0x2\r\n\r\nok`],
  ['an empty length', `${OK}Content-Length:\r\n\r\n${EVIL}`],
  ['a length beyond all measure', `${OK}Content-Length: 18446744073709551618\r\n\r\nok`],
  ['a space before the colon of the length', `${OK}Content-Length : 2\r\n\r\nok`],
  ['gzip, chunked', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked, identity', `${OK}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
  ['identity', `${OK}Transfer-Encoding: identity\r\n\r\nok`],
  ['chunked in two lines', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a vertical tab before chunked', `${OK}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
  ['xchunked', `${OK}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['chunked in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a folded field', `${OK}X: a\r\n b\r\nContent-Length: 2\r\n\r\nok`],
  ['a bare LF that would split the head', `${OK}X: a\nSet-Cookie: EVIL=1\r\nContent-Length: 2\r\n\r\nok`],
  ['a bare CR that would split the head', `${OK}X: a\rSet-Cookie: EVIL=1\r\nContent-Length: 2\r\n\r\nok`],
  ['LF alone, but for one line', 'HTTP/1.1 200 OK\nX: a\r\nSet-Cookie: EVIL=1\nContent-Length: 2\n\nok'],
  ['LF alone, but for the last line', 'HTTP/1.1 200 OK\nX: a\nContent-Length: 2\r\n\r\nok'],
  ['two bare LFs that would split the answer', `${OK}X: a\n\nEVIL\r\nContent-Length: 2\r\n\r\nok`],
  ['NUL in a value', `${OK}X: a\0b\r\nContent-Length: 2\r\n\r\nok`],
  ['a control character in a value', `${OK}X: a\x1bb\r\nContent-Length: 2\r\n\r\nok`],
  ['a bare CR in the reason', 'HTTP/1.1 200 O\rSet-Cookie: EVIL=1\r\nContent-Length: 2\r\n\r\nok'],
  ['a bare LF in the reason', 'HTTP/1.1 200 O\nSet-Cookie: EVIL=1\r\nContent-Length: 2\r\n\r\nok'],
  ['NUL in the reason', 'HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok'],
  ['an empty field name', `${OK}: a\r\nContent-Length: 2\r\n\r\nok`],
  ['a field without a colon', `${OK}EVIL\r\nContent-Length: 2\r\n\r\nok`],
  ['a space in a field name', `${OK}X Y: a\r\nContent-Length: 2\r\n\r\nok`],
  ['HTTP/2', 'HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['HTTP/1.10', 'HTTP/1.10 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['a status below 100', 'HTTP/1.1 042 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['an answer without a head (HTTP/0.9)', '<html>EVIL</html>\r\n\r\n'],
  ['an empty line before the head', `\r\n${OK}Content-Length: 2\r\n\r\nok`],
  ['101 that nobody asked for', `HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n${EVIL}`],
  ['100 with a body', `HTTP/1.1 100 Continue\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`],
  ['103 in chunks', `HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${EVIL}`],
  ['interim answers without end', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(3000)],
  ['a head without end', `${OK}X: ${'a'.repeat(70_000)}`],
  ['fields without end', `${OK}${'X: a\r\n'.repeat(1200)}\r\n`],
]

/** Nothing has reached the client when they turn out so. */
const MALFORMED_BODIES: readonly (readonly [string, string])[] = [
  ['a chunk size of letters', `${CHUNKED}2\r\nok\r\nxyz\r\n${EVIL}`],
  ['a chunk longer than its size', `${CHUNKED}2\r\nokEVIL\r\n0\r\n\r\n`],
  ['0x in a chunk size', `${CHUNKED}0x2\r\nok\r\n0\r\n\r\n`],
  ['a sign in a chunk size', `${CHUNKED}+2\r\nok\r\n0\r\n\r\n`],
  ['a chunk size that overflows', `${CHUNKED}10000000000000002\r\nok\r\n0\r\n\r\n`],
  ['a word behind the blanks of a chunk size', `${CHUNKED}2 a\r\nok\r\n0\r\n\r\n`],
  ['LF alone behind a chunk size', `${CHUNKED}2\nok\r\n0\r\n\r\n`],
  ['LF in a chunk extension', `${CHUNKED}2;a\nb\r\nok\r\n0\r\n\r\n`],
  ['CR in a chunk extension', `${CHUNKED}2;a\rb\r\nok\r\n0\r\n\r\n`],
  ['two bytes other than CRLF behind a chunk', `${CHUNKED}2\r\nokXX0\r\n\r\n`],
  ['CR alone behind the last chunk', `${CHUNKED}2\r\nok\r\n0\r\n\rEVIL`],
  ['a folded trailer', `${CHUNKED}2\r\nok\r\n0\r\nX: a\r\n b\r\n\r\n`],
  ['a control character in a trailer', `${CHUNKED}2\r\nok\r\n0\r\nX: a\x01\r\n\r\n`],
  ['two lengths among the trailers', `${CHUNKED}2\r\nok\r\n0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n`],
]

const CUT: readonly (readonly [string, string])[] = [
  ['in the body', `${OK}Content-Length: 50\r\n\r\nok`],
  ['behind the head', `${OK}Content-Length: 50\r\n\r\n`],
  ['in a chunk', `${CHUNKED}5\r\nhe`],
  ['between chunks', `${CHUNKED}2\r\nok\r\n`],
  ['before the end of the trailers', `${CHUNKED}2\r\nok\r\n0\r\nX: a\r\n`],
]

const BEYOND: readonly ResponseCase[] = [
  {
    name: 'a head whose lines all end in LF alone',
    bytes: 'HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\nok',
    outcome: { status: 200, body: 'ok', reused: true },
  },
  {
    name: 'blanks and zeros around a chunk size',
    bytes: `${CHUNKED}000000000000000002  \r\nok\r\n0  \r\n\r\n`,
    outcome: { status: 200, body: 'ok', reused: true },
  },
  {
    name: 'two answers in one write',
    bytes: `${OK}Content-Length: 2\r\n\r\nok${EVIL}`,
    outcome: { status: 200, body: 'ok' },
  },
  {
    name: 'a second answer when the first one is over',
    bytes: `${OK}Content-Length: 2\r\n\r\nok`,
    late: EVIL,
    outcome: { status: 200, body: 'ok' },
  },
  {
    name: 'one byte beyond the length',
    bytes: `${OK}Content-Length: 2\r\n\r\nok\n`,
    outcome: { status: 200, body: 'ok' },
  },
  {
    name: 'an answer behind the last chunk',
    bytes: `${CHUNKED}2\r\nok\r\n0\r\n\r\n${EVIL}`,
    outcome: { status: 200, body: 'ok' },
  },
  {
    name: 'a body behind 204',
    bytes: `HTTP/1.1 204 No Content\r\n\r\n${EVIL}`,
    outcome: { status: 204, body: '' },
  },
  {
    name: 'a body behind 204 with a length',
    bytes: `HTTP/1.1 204 No Content\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
    outcome: { status: 204, body: '' },
  },
  {
    name: 'a body behind 204 in chunks',
    bytes: 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n',
    outcome: { status: 204, body: '' },
  },
  {
    name: 'a body behind 304',
    bytes: `HTTP/1.1 304 Not Modified\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
    outcome: { status: 304, body: '' },
  },
  {
    name: 'a body behind the answer to HEAD',
    method: 'HEAD',
    bytes: `${OK}Content-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
    outcome: { status: 200, body: '' },
  },
  {
    name: 'chunks behind the answer to HEAD',
    method: 'HEAD',
    bytes: `${CHUNKED}4\r\nEVIL\r\n0\r\n\r\n`,
    outcome: { status: 200, body: '' },
  },
  {
    name: 'a body behind Content-Length: 0',
    bytes: `${OK}Content-Length: 0\r\n\r\n${EVIL}`,
    outcome: { status: 200, body: '' },
  },
  {
    name: 'a body without a length is all that comes',
    bytes: `${OK}\r\nok`,
    ending: 'end',
    outcome: { status: 200, body: 'ok' },
  },
  {
    name: 'several interim answers and a final one',
    bytes: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`,
    outcome: { status: 200, body: 'ok', reused: true },
  },
  {
    name: 'lengths and codings among the trailers',
    bytes: `${CHUNKED}2\r\nok\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: identity\r\nSet-Cookie: EVIL=1\r\n\r\n`,
    outcome: { status: 200, body: 'ok', reused: true },
  },
  {
    name: 'Connection that names Content-Length',
    bytes: `${OK}Connection: Content-Length\r\nContent-Length: 2\r\n\r\nok`,
    outcome: { status: 200, body: 'ok', reused: true },
  },
]

/** All cases. */
export const RESPONSE_CASES: readonly ResponseCase[] = [
  ...REFUSED.map(([name, bytes]) => ({ name, bytes, outcome: 'refused' as const })),
  { name: 'no answer, the connection ended', bytes: '', ending: 'end', outcome: 'refused' },
  { name: 'no answer, the connection reset', bytes: '', ending: 'reset', outcome: 'refused' },
  { name: 'cut off in the head', bytes: `${OK}Content-Le`, ending: 'end', outcome: 'refused' },
  {
    name: 'cut off behind an interim answer',
    bytes: 'HTTP/1.1 103 Early Hints\r\n\r\n',
    ending: 'end',
    outcome: 'refused',
  },
  ...MALFORMED_BODIES.map(([name, bytes]) => ({ name, bytes, outcome: 'refused' as const })),
  // What came before has reached the client already.
  ...MALFORMED_BODIES.map(([name, bytes]) => ({
    name: `${name}, behind a part that has gone on`,
    bytes: bytes.replace(CHUNKED, `${CHUNKED}14000\r\n${'a'.repeat(0x14000)}\r\n`),
    outcome: 'broken' as const,
  })),
  ...CUT.map(([where, bytes]) => ({
    name: `cut off ${where}`,
    bytes,
    ending: 'end' as const,
    outcome: 'broken' as const,
  })),
  { name: 'reset in a body without a length', bytes: `${OK}\r\nok`, ending: 'reset', outcome: 'broken' },
  ...BEYOND,
]
