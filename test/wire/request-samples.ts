/**
 * Random requests for the differential test: valid ones of every framing, and ones with a few bytes changed. By a generator of its
 * own: a million of fast-check's would take longer to make than to compare.
 */

/** Bytes of one connection, and where reads split them. */
export interface RequestSample {
  /** Latin-1 text. */
  readonly text: string
  /** Offsets in ascending order. */
  readonly splits: readonly number[]
}

/** Random numbers by a seed (mulberry32). */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * limit)
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }

  many(most: number, make: () => string): string[] {
    return Array.from({ length: this.below(most + 1) }, make)
  }
}

const METHODS = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'HEAD',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'M-SEARCH',
  'PROPFIND',
]
const UNKNOWN_METHODS = ['BAN', 'LIST', 'LABEL', 'UPDATE', 'RPC_IN_DATA', 'get', "!#'", 'X', 'GETX']
const TARGETS = [
  ...[
    '/',
    '/',
    '/',
    '/a',
    '/a/b?c=d&e',
    '/a%20b',
    '/a#b',
    '//a',
    '/a\\b',
    '/"<>^`{|}',
    "/!$&'()*+,;=:@-._~",
    '*',
    'http://a.test/b',
  ],
  ...['http://a.test', 'https://a.test:443?b', '/caf\xc3\xa9', '/\x80\xff?\xfc'],
]
const ODD_TARGETS = [
  'a.test:80',
  'a',
  'http:/a',
  'http://u@a.test/',
  'http://a.test#b',
  '?',
  '#',
  'ftp://a/b',
  '*a',
  '/\x01',
]
const VERSIONS = [...Array(12).fill('1.1'), ...Array(3).fill('1.0'), ...['1.2', '2.0', '0.9']]
const FIELDS = [
  ...[
    'Host: a.test',
    'X: a',
    'x-odd-CASE:b',
    'Cookie: a=b; c',
    'X: caf\xe9',
    'E:',
    'E: \t ',
    'X:  a\tb  ',
    '!#$%&: \x80\xff',
    'TE: trailers',
  ],
  ...[
    'Accept: */*',
    'User-Agent: curl/8',
    'X_Y: z',
    'Expect: 100-continue',
    'Expect: x',
    'Trailer: Digest',
    'Keep-Alive: timeout=5',
  ],
]
const STRAY = [
  ...[
    'Content-Length: 0',
    'Content-Length: 5',
    'content-length: 005',
    'Content-Length: +5',
    'Content-Length: 5, 5',
    'Content-Length: ',
  ],
  ...['Content-Length: 99999999999999999999', 'Content-Length: 5 5', 'Content-Length: 0x5', 'Content_Length: 5'],
  ...[
    'Transfer-Encoding: chunked',
    'TRANSFER-encoding:CHUNKED',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: identity',
  ],
  ...[
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding: chunked;q=1',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: ',
  ],
  ...[
    'Transfer-Encoding: chunked\xa0',
    'Connection: close',
    'Connection: keep-alive',
    'Connection: keep-alive, Upgrade',
    'Connection: upgrade',
  ],
  ...['Connection: a, CLOSE ,b', 'Upgrade: x', 'Upgrade: websocket', 'Proxy-Connection: close'],
]
/** Pieces of bytes that have confused some parser before. */
const TROUBLE = [
  ...[
    '',
    '',
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
    '\\',
    '=',
    '0',
    '1',
    '5',
    'f',
    '-',
    '+',
  ],
  ...[
    '_',
    'x',
    '0x',
    '\r\n\r\n',
    '\n\n',
    '\r\n ',
    '\r\r\n',
    '/',
    '#',
    '@',
    'HTTP/1.1',
    '\r\n0\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
  ],
]
const EXTENSIONS = [
  ...Array(40).fill(''),
  ' ',
  ';a',
  ';a=b',
  ';a="b c"',
  ';a;b=c',
  ' ;a',
  '; a = b',
  ';',
  ';a="\\""',
  ';a=',
  ';=a',
  ';a"b"',
]

function field(dice: Dice): string {
  return `${dice.of(FIELDS)}\r\n`
}

function bytes(dice: Dice): string {
  return String.fromCharCode(...Array.from({ length: dice.below(16) }, () => dice.below(256)))
}

function chunk(dice: Dice): string {
  const data = bytes(dice)
  if (data === '') return ''
  return `${dice.of(['', '', '', '0', '0000'])}${data.length.toString(16)}${dice.of(EXTENSIONS)}\r\n${data}\r\n`
}

function request(dice: Dice): string {
  const method = dice.below(20) === 0 ? dice.of(UNKNOWN_METHODS) : dice.below(60) === 0 ? 'CONNECT' : dice.of(METHODS)
  const space = dice.below(40) === 0 ? '  ' : ' '
  let head = `${method}${space}${dice.of(dice.below(20) === 0 ? ODD_TARGETS : TARGETS)}${space}HTTP/${dice.of(VERSIONS)}\r\n`
  head += dice.many(3, () => field(dice)).join('')
  let body = ''
  const framing = dice.below(3)
  if (framing === 0) {
    body = bytes(dice)
    head += `Content-Length: ${body.length}\r\n`
  } else if (framing === 1) {
    const trailers = dice.below(3) === 0 ? dice.many(2, () => field(dice)).join('') : ''
    body = `${dice.many(3, () => chunk(dice)).join('')}0${dice.below(10) === 0 ? ';x' : ''}\r\n${trailers}\r\n`
    head += 'Transfer-Encoding: chunked\r\n'
  }
  if (dice.below(8) === 0) head += `${dice.of(STRAY)}\r\n`
  if (dice.below(16) === 0) head += `${dice.of(STRAY)}\r\n`
  return `${dice.below(20) === 0 ? '\r\n' : ''}${head}\r\n${body}`
}

function mutated(dice: Dice, text: string): string {
  const at = dice.below(text.length + 1)
  const into = dice.below(5) === 0 ? `\r\n${dice.of(STRAY)}\r\n` : dice.of(TROUBLE)
  return text.slice(0, at) + into + text.slice(at + dice.below(3))
}

/** One to three requests, half of them changed, now and then cut off. */
export function requestSample(seed: number): RequestSample {
  const dice = new Dice(seed)
  let text = ''
  for (let more = true; more; more = text.length < 600 && dice.below(3) === 0) text += request(dice)
  if (dice.below(2) === 0) for (let changes = dice.below(3); changes >= 0; changes--) text = mutated(dice, text)
  if (dice.below(12) === 0) text = text.slice(0, dice.below(text.length + 1))
  const splits = Array.from({ length: dice.below(5) }, () => dice.below(text.length + 1)).sort((a, b) => a - b)
  return { text, splits }
}

/** The pieces that reads of a socket would give. */
export function requestPieces({ text, splits }: RequestSample): Buffer[] {
  const all = Buffer.from(text, 'latin1')
  const edges = [0, ...splits, all.length]
  return edges.slice(1).map((end, i) => all.subarray(edges[i], end))
}
