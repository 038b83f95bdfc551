/**
 * Random responses for the differential test: valid ones of every framing, and ones with a few bytes changed.
 */
import fc from 'fast-check'

/** One case: bytes in pieces as reads would give them, and what had been asked. */
export interface ResponseSample {
  /** Latin-1 text. */
  readonly text: string
  /** Where the text is split: offsets in ascending order. */
  readonly splits: readonly number[]
  readonly method: 'GET' | 'HEAD'
  readonly upgradeAsked: boolean
}

const NAMES = ['X', 'x-odd-CASE', 'Set-Cookie', 'ETag', 'Content-Type', 'Vary', 'Server', 'Date', 'Link', '!#$%&', 'TE']
const VALUES = ['', 'a', 'a b', 'caf\xe9', 'a\tb', 'x; y="z"', 'W/"1"', 'a, b, c', '</a>; rel=preload', '\x80\xff']
const FRAMING_LINES = [
  'Content-Length: 0',
  'Content-Length: 5',
  'content-length: 005',
  'Content-Length: +5',
  'Content-Length: 5, 5',
  'Content-Length: ',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'TRANSFER-encoding:CHUNKED',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: chunked, chunked',
  'Connection: close',
  'Connection: keep-alive, Upgrade',
  'Upgrade: x',
  'Trailer: Digest',
]

const line = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...VALUES)).map(([n, v]) => `${n}: ${v}`),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...VALUES)).map(([n, v]) => `${n}:${v} \t`),
  },
)
const stray = fc.constantFrom(...FRAMING_LINES)
const reason = fc.constantFrom('OK', '', 'Not Found', 'caf\xe9', 'a  b', ' padded ')
const status = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(200, 201, 206, 404, 500, 503) },
  { weight: 2, arbitrary: fc.constantFrom(204, 304, 205, 301) },
  { weight: 1, arbitrary: fc.constantFrom(101, 199, 299, 599, 600, 999) },
)
const bytes = fc.uint8Array({ maxLength: 24 }).map((array) => Buffer.from(array).toString('latin1'))
const extension = fc.constantFrom(
  '',
  '',
  '',
  '',
  ' ',
  '  \t',
  ';a',
  ';a=b',
  ';a="b c"',
  ';a;b=c',
  ' ;a',
  '; a = b',
  ';',
  ';a="\\""',
)

const chunk = fc
  .record({
    data: bytes.filter((text) => text.length > 0),
    extension,
    zeros: fc.constantFrom('', '', '0', '000', '0000000000000000'),
  })
  .map(({ data, extension: ext, zeros }) => `${zeros}${data.length.toString(16)}${ext}\r\n${data}\r\n`)

const chunkedBody = fc
  .record({
    chunks: fc.array(chunk, { maxLength: 4 }),
    last: fc.constantFrom('0', '0', '000', '0;x'),
    trailers: fc.array(line, { maxLength: 2 }),
  })
  .map(({ chunks, last, trailers }) => `${chunks.join('')}${last}\r\n${trailers.map((t) => `${t}\r\n`).join('')}\r\n`)

/** The line that frames a body, and the body. */
const framed = fc.oneof(
  { weight: 3, arbitrary: bytes.map((body) => [`Content-Length: ${body.length}`, body] as const) },
  { weight: 3, arbitrary: chunkedBody.map((body) => ['Transfer-Encoding: chunked', body] as const) },
  { weight: 1, arbitrary: bytes.map((body) => [null, body] as const) },
  { weight: 1, arbitrary: fc.constant([null, ''] as const) },
)

const interim = fc.constantFrom(
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
  'HTTP/1.1 102 Processing\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.0 100 Continue\r\n\r\n',
)

const valid = fc
  .record({
    interims: fc.array(interim, { maxLength: 2 }),
    version: fc.oneof({ weight: 9, arbitrary: fc.constant('1.1') }, { weight: 2, arbitrary: fc.constant('1.0') }),
    status,
    reason,
    before: fc.array(line, { maxLength: 3 }),
    framed,
    after: fc.array(fc.oneof({ weight: 8, arbitrary: line }, { weight: 1, arbitrary: stray }), { maxLength: 2 }),
    lineEnd: fc.oneof({ weight: 9, arbitrary: fc.constant('\r\n') }, { weight: 1, arbitrary: fc.constant('\n') }),
    beyond: fc.oneof({ weight: 8, arbitrary: fc.constant('') }, { weight: 1, arbitrary: bytes }),
  })
  .map((r) => {
    const [framing, body] = r.framed
    const lines = [...r.before, ...(framing === null ? [] : [framing]), ...r.after]
    const head = [`HTTP/${r.version} ${r.status} ${r.reason}`, ...lines, '', ''].join(r.lineEnd)
    return `${r.interims.join('')}${head}${body}${r.beyond}`
  })

/** Pieces of bytes that have confused some parser before. */
const TROUBLE = [
  '\r',
  '\n',
  '\r\n',
  ' ',
  '\t',
  '\0',
  '\x0b',
  '\x7f',
  '\xff',
  ':',
  ';',
  ',',
  '"',
  '0',
  '1',
  '5',
  'f',
  '-',
  '+',
  '_',
  'x',
  '0x',
  '\r\n\r\n',
  '\n\n',
  '\r\n ',
]

/** One change: at a place (a fraction of the length), this many bytes out, this in. */
const mutation = fc.oneof(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    out: fc.nat({ max: 2 }),
    into: fc.constantFrom('', ...TROUBLE),
  }),
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    out: fc.constant(0),
    into: stray.map((l) => `\r\n${l}\r\n`),
  }),
)

function mutate(text: string, changes: readonly { at: number; out: number; into: string }[]): string {
  let changed = text
  for (const { at, out, into } of changes) {
    const place = Math.floor(at * changed.length)
    changed = changed.slice(0, place) + into + changed.slice(place + out)
  }
  return changed
}

/** Valid responses, and mutated ones. */
export const responseSample: fc.Arbitrary<ResponseSample> = fc
  .record({
    valid,
    changes: fc.oneof(
      { weight: 1, arbitrary: fc.constant([]) },
      { weight: 2, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 3 }) },
    ),
    cut: fc.oneof(
      { weight: 9, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
    ),
    splits: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
    method: fc.constantFrom('GET' as const, 'GET' as const, 'GET' as const, 'HEAD' as const),
    upgradeAsked: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  })
  .map(({ valid: text, changes, cut, splits, method, upgradeAsked }) => {
    const mutated = mutate(text, changes)
    const whole = mutated.slice(0, Math.ceil(cut * mutated.length))
    return {
      text: whole,
      splits: splits.map((at) => Math.floor(at * whole.length)).sort((a, b) => a - b),
      method,
      upgradeAsked,
    }
  })

/** The pieces that reads of a socket would give. */
export function piecesOf({ text, splits }: ResponseSample): Buffer[] {
  const bytes_ = Buffer.from(text, 'latin1')
  const edges = [0, ...splits, bytes_.length]
  return edges
    .slice(1)
    .map((end, i) => bytes_.subarray(edges[i], end))
    .filter((piece) => piece.length > 0)
}
