import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type RequestHead, RequestReader, type RequestSink } from '../../src/wire/requests.ts'
import { LIMITS, readByteByByte, readRequests, readRequestText, type SeenRequests } from './request-reader.ts'

const HOST = 'Host: a\r\n'
const GET = `GET / HTTP/1.1\r\n${HOST}\r\n`

function chunked(body: string): string {
  return `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`
}

/** Less what the split of the bytes may change: by how much a refused request was read. */
function verdict({ requests, fault, taken }: SeenRequests): unknown {
  return { requests, fault, taken: fault === null ? taken : 0 }
}

/** In one piece, and a byte at a time: both must find the same. */
function read(text: string, limits: Parameters<typeof readRequestText>[1] = {}): SeenRequests {
  const seen = readRequestText(text, limits)
  expect(verdict(readByteByByte(text, limits))).toEqual(verdict(seen))
  return seen
}

describe('what is read', () => {
  test('a request line, and fields as received: case, order and duplicates', () => {
    const seen = read(
      'POST /a?b=c HTTP/1.1\r\nHOST: a\r\nx-A:\t b c \t\r\nCookie: 1\r\ncookie: 2\r\nE:\r\nX: caf\xe9\r\nContent-Length: 5\r\n\r\nhello',
    )
    expect(seen).toMatchObject({
      fault: null,
      requests: [{ method: 'POST', target: '/a?b=c', minor: 1, body: 'hello' }],
    })
    expect(seen.requests[0]?.rawHeaders).toEqual(
      'HOST|a|x-A|b c|Cookie|1|cookie|2|E||X|caf\xe9|Content-Length|5'.split('|'),
    )
    expect(seen.requests[0]).toMatchObject({ complete: true, trailers: [] })
  })

  test('names of fields that are nearly those that most messages have, as they are written', () => {
    const common = ['User-Agent', 'accept-encoding', 'Content-Type', 'X-Forwarded-For', 'Sec-Fetch-Mode', 'Via', 'ETag']
    const nearly = fc.tuple(fc.constantFrom(...common), fc.nat(20), fc.constantFrom('', 'x', 'A', '-', 'o')).map(
      // Another letter somewhere, one less, or one in the other case.
      ([name, at, letter]) => {
        const i = at % name.length
        const flipped = name[i] === name[i]!.toLowerCase() ? name[i]!.toUpperCase() : name[i]!.toLowerCase()
        return `${name.slice(0, i)}${letter === 'o' ? flipped : letter}${name.slice(i + 1)}`
      },
    )
    const names = fc.array(fc.oneof(nearly, fc.constantFrom(...common)), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(names, (given) => {
        const fields = given.map((name, i) => `${name}: ${i}\r\n`).join('')
        const seen = read(`GET / HTTP/1.1\r\n${fields}\r\n`)
        expect(seen.requests[0]?.rawHeaders).toEqual(given.flatMap((name, i) => [name, String(i)]))
      }),
    )
  })

  test.each(['get', 'LIST', 'RPC_IN_DATA', 'VERSION-CONTROL', "!#$%&'*+-.^_`|~1", 'M-SEARCH', 'X'.repeat(300)])(
    'the method %s',
    (method) => {
      expect(read(`${method} / HTTP/1.1\r\n${HOST}\r\n`)).toMatchObject({ fault: null, requests: [{ method }] })
    },
  )

  test.each(['/caf\xc3\xa9?q=\xfc', '/\x80\xff', '*', 'http://a/b', 'a:80', '/a#b', '/a\\..\\b', '//x', '/"<>^`{|}'])(
    'the target %s',
    (target) => {
      expect(read(`GET ${target} HTTP/1.1\r\n${HOST}\r\n`)).toMatchObject({ fault: null, requests: [{ target }] })
    },
  )

  test('chunks with extensions and trailers', () => {
    const seen = read(chunked('5;a=b;c="d \\" e";f\r\nhello\r\n00006\r\n world\r\n0;x\r\nDigest: z\r\nB: c\r\n\r\n'))
    expect(seen).toMatchObject({ fault: null, requests: [{ body: 'hello world', complete: true }] })
    expect(seen.requests[0]?.trailers).toEqual(['Digest', 'z', 'B', 'c'])
  })

  test('white space around values', () => {
    const text = 'POST / HTTP/1.1\r\nX:\t a\t\r\nTransfer-Encoding:\t chunked \r\n\r\n2\r\n\t\r\r\n0\r\n\r\n'
    expect(read(text)).toMatchObject({ fault: null, requests: [{ body: '\t\r', complete: true }] })
  })

  test('pipelined requests, with bodies and empty lines between them', () => {
    const text = `\r\n${GET}${chunked('2\r\nok\r\n0\r\n\r\n')}\r\n\r\nPUT /b HTTP/1.1\r\n${HOST}content-length: 02\r\n\r\nhi${GET}`
    const seen = read(text)
    expect(seen.requests.map(({ method, body }) => `${method} ${body}`)).toEqual(['GET ', 'POST ok', 'PUT hi', 'GET '])
    expect(seen).toMatchObject({ fault: null, taken: text.length })
  })

  test.each([
    ['HTTP/1.1', '', true],
    ['HTTP/1.1', 'Connection: close\r\n', false],
    ['HTTP/1.1', 'Connection: a, CLOSE\r\nConnection: keep-alive\r\n', false],
    ['HTTP/1.0', '', false],
    ['HTTP/1.0', 'Connection: Keep-Alive\r\n', true],
    ['HTTP/1.0', 'Connection: keep-alive\r\nConnection: close\r\n', false],
  ])('whether the client keeps the connection: %s, %j', (version, fields, keepAlive) => {
    expect(read(`GET / ${version}\r\n${HOST}${fields}\r\n`).requests).toMatchObject([{ keepAlive }])
  })

  test.each([
    ['Connection: Upgrade\r\nUpgrade: websocket\r\n', 'HTTP/1.1', true],
    ['connection: keep-alive, upgrade\r\nUPGRADE: h2c\r\n', 'HTTP/1.1', true],
    ['Upgrade: websocket\r\n', 'HTTP/1.1', false],
    ['Connection: Upgrade\r\n', 'HTTP/1.1', false],
    // RFC 9110 section 7.8.
    ['Connection: Upgrade\r\nUpgrade: websocket\r\n', 'HTTP/1.0', false],
  ])('whether it offers an upgrade: %j in %s', (fields, version, offersUpgrade) => {
    expect(read(`GET / ${version}\r\n${HOST}${fields}\r\n`).requests).toMatchObject([{ offersUpgrade }])
  })

  test('the bytes behind an upgrade head are not taken', () => {
    const head = `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: x\r\n\r\n`
    expect(read(`${head}\0\x01GET`)).toMatchObject({ fault: null, taken: head.length })
  })

  test('the bytes of the next request are not taken before they are asked for', () => {
    const ends: number[] = []
    const reader = new RequestReader({ onHead() {}, onBody() {}, onEnd: () => ends.push(1) }, LIMITS)
    const bytes = Buffer.from(`${GET}${GET}`)
    expect(reader.push(bytes)).toBe(GET.length)
    expect([ends.length, reader.phase]).toEqual([1, 'between'])
    expect(reader.push(bytes, GET.length)).toBe(2 * GET.length)
    expect(ends).toHaveLength(2)
  })

  test('it can be stopped behind a head, and behind a piece of the body', () => {
    const seen: string[] = []
    const sink: RequestSink = {
      onHead({ method }: RequestHead) {
        seen.push(method)
        reader.stop()
      },
      onBody(piece) {
        seen.push(piece.toString())
        reader.stop()
      },
      onEnd: () => seen.push('end'),
    }
    const reader = new RequestReader(sink, LIMITS)
    const bytes = Buffer.from(chunked('1\r\na\r\n2\r\nbc\r\n0\r\n\r\n'))
    const steps: string[] = []
    for (let at = 0; at < bytes.length; ) {
      at = reader.push(bytes, at)
      steps.push(seen.splice(0).join())
    }
    expect(steps).toEqual(['POST', 'abc', 'end'])
  })

  test('data of small chunks that are read together are reported together, those of large ones by themselves', () => {
    const pieces: number[] = []
    const sink = { onHead: () => reader.stop(), onBody: (piece: Buffer) => pieces.push(piece.length), onEnd() {} }
    const reader: RequestReader = new RequestReader(sink, LIMITS)
    const large = `800\r\n${'d'.repeat(2048)}\r\n`
    const bytes = Buffer.from(chunked(`${'1\r\na\r\n'.repeat(5000)}${large}1\r\nb\r\n0\r\n\r\n`))
    reader.push(bytes, reader.push(bytes))
    expect(pieces).toEqual([5000, 2048, 1])
  })

  test('where it is', () => {
    const reader = new RequestReader({ onHead() {}, onBody() {}, onEnd() {} }, LIMITS)
    const phases = ['\r', '\n', 'P', 'OST / HTTP/1.1\r\n', 'Content-Length: 2\r\n\r\n', 'h', 'i'].map((text) => {
      reader.push(Buffer.from(text))
      return reader.phase
    })
    expect(phases).toEqual(['between', 'between', 'head', 'head', 'body', 'body', 'between'])
  })
})

describe('what is refused, never guessed', () => {
  test.each([
    ['an HTTP/0.9 request', 'GET /\r\n', 'http-version'],
    ['HTTP/0.9 in its words', 'GET / HTTP/0.9\r\n', 'http-version'],
    ['HTTP/1.2', 'GET / HTTP/1.2\r\n', 'http-version'],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\n', 'http-version'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http-version'],
    ['a version of two digits', 'GET / HTTP/1.10\r\n', 'bad-request'],
    ['lower case', 'GET / http/1.1\r\n', 'bad-request'],
    ['another protocol', 'GET / ICE/1.0\r\n', 'bad-request'],
    ['a space behind the version', 'GET / HTTP/1.1 \r\n', 'bad-request'],
    ['a tab between the words', 'GET\t/ HTTP/1.1\r\n', 'bad-request'],
    ['a space in the target', 'GET /a b HTTP/1.1\r\n', 'bad-request'],
    ['a control character in the target', 'GET /\x01 HTTP/1.1\r\n', 'bad-request'],
    ['DEL in the target', 'GET /\x7f HTTP/1.1\r\n', 'bad-request'],
    ['no method', ' / HTTP/1.1\r\n', 'bad-request'],
    ['no target', 'GET  \r\n', 'bad-request'],
    ['a method that is no token', 'G@T / HTTP/1.1\r\n', 'bad-request'],
    ['a bare LF behind the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 'bad-request'],
    ['a bare CR in the request line', 'GET /\r HTTP/1.1\r\n', 'bad-request'],
    ['a bare LF before it', `\n${GET}`, 'bad-request'],
    ['a bare CR before it', `\r${GET}`, 'bad-request'],
    ['empty lines without end', `${'\r\n'.repeat(17)}${GET}`, 'bad-request'],
    ['TLS', '\x16\x03\x01\x02', 'bad-request'],
    ['a folded field', `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`, 'bad-request'],
    ['a folded first field', `GET / HTTP/1.1\r\n X: a\r\n${HOST}\r\n`, 'bad-request'],
    ['a space before the colon', `GET / HTTP/1.1\r\nHost : a\r\n\r\n`, 'bad-request'],
    ['a bare LF behind a field', `GET / HTTP/1.1\r\nHost: a\n\r\n`, 'bad-request'],
    ['a bare CR in a field', `GET / HTTP/1.1\r\nX: a\rb\r\n\r\n`, 'bad-request'],
    ['an empty line that ends in a bare LF', `GET / HTTP/1.1\r\n${HOST}\n`, 'bad-request'],
    ['an empty line of CR CR LF', `GET / HTTP/1.1\r\n${HOST}\r\r\n`, 'bad-request'],
    ['NUL in a field', `GET / HTTP/1.1\r\nX: \0\r\n\r\n`, 'bad-request'],
    ['both lengths', `GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n`, 'bad-request'],
    ['two equal lengths', `GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n`, 'bad-request'],
    ['a length with a sign', `GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n`, 'bad-request'],
    ['a list of lengths', `GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n`, 'bad-request'],
    ['a length of 16 digits', `GET / HTTP/1.1\r\nContent-Length: 1000000000000000\r\n\r\n`, 'bad-request'],
    ['chunked in HTTP/1.0', `GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n`, 'bad-request'],
    [
      'chunked twice',
      `GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
      'bad-request',
    ],
    ['another coding behind chunked', `GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n`, 'bad-request'],
    ['another coding before chunked', `GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n`, 'transfer-coding'],
    ['another coding', `GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n`, 'transfer-coding'],
    [
      'a tab behind chunked',
      `GET / HTTP/1.1\r\nX: a\t\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n`,
      'bad-request',
    ],
    ['blanks behind a chunk size', chunked('1 \r\na\r\n'), 'request-body'],
    ['no chunk size', chunked('\r\n'), 'request-body'],
    ['a chunk size with a sign', chunked('+1\r\n'), 'request-body'],
    ['a chunk size in 0x', chunked('0x1\r\n'), 'request-body'],
    ['a chunk size beyond all measure', chunked('10000000000000000\r\n'), 'request-body'],
    ['LF alone behind a chunk size', chunked('1\na\r\n'), 'request-body'],
    ['a chunk longer than its size', chunked('1\r\nab\r\n'), 'request-body'],
    ['LF alone behind a chunk', chunked('1\r\na\n'), 'request-body'],
    ['a blank in an extension', chunked('1; a\r\na\r\n'), 'request-body'],
    ['an empty extension', chunked('1;\r\na\r\n'), 'request-body'],
    ['an empty value of an extension', chunked('1;a=\r\na\r\n'), 'request-body'],
    ['a quote that stays open', chunked('1;a="\r\na\r\n'), 'request-body'],
    ['a folded trailer', chunked('0\r\nA: b\r\n c\r\n\r\n'), 'request-body'],
    ['a length among the trailers', chunked('0\r\ncontent-LENGTH: 1\r\n\r\n'), 'request-body'],
    ['a coding among the trailers', chunked('0\r\nTransfer-Encoding: chunked\r\n\r\n'), 'request-body'],
  ])('%s', (_, text, fault) => {
    expect(read(text)).toMatchObject({ fault })
  })

  test('a bad request behind a good one', () => {
    expect(read(`${GET}\0`)).toMatchObject({ fault: 'bad-request', requests: [{ method: 'GET', complete: true }] })
  })

  test('what the request line said is told of a request that is refused behind it', () => {
    const reader = new RequestReader({ onHead() {}, onBody() {}, onEnd() {} }, LIMITS)
    const text = 'PUT /x HTTP/1.1\r\nContent-Length: x\r\n\r\n'
    expect(() => reader.push(Buffer.from(text))).toThrow(
      expect.objectContaining({ fault: 'bad-request', method: 'PUT', target: '/x' }),
    )
  })
})

describe('limits', () => {
  const limits = { maxHeadBytes: 200, maxFields: 4, maxTargetLength: 50 }

  test.each([
    ['a target', `GET /${'a'.repeat(50)} HTTP/1.1\r\n${HOST}\r\n`, 'request-line-too-long'],
    ['a target beyond a head', `GET /${'a'.repeat(300)} HTTP/1.1\r\n${HOST}\r\n`, 'request-line-too-long'],
    ['a target without end', `GET /${'a'.repeat(300)}`, 'request-line-too-long'],
    ['a method without end', 'A'.repeat(300), 'request-line-too-long'],
    [
      'a control character before the end of what is too long',
      `GET /${'a'.repeat(150)}\0${'a'.repeat(200)}`,
      'bad-request',
    ],
    ['a head', `GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(200)}\r\n\r\n`, 'head-too-large'],
    ['a field without end', `GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(200)}`, 'head-too-large'],
    ['fields', `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(5)}\r\n`, 'head-too-large'],
    [
      'a bad field before the end of what is too long',
      `GET / HTTP/1.1\r\nA : b\r\nX: ${'a'.repeat(200)}`,
      'bad-request',
    ],
    ['trailers', chunked(`0\r\nX: ${'a'.repeat(200)}\r\n\r\n`), 'request-body'],
    ['trailer fields', chunked(`0\r\n${'A: b\r\n'.repeat(5)}\r\n`), 'request-body'],
    ['chunk extensions', chunked(`1;${'x'.repeat(9000)}\r\na\r\n1;${'x'.repeat(9000)}\r\na\r\n`), 'request-body'],
    ['zeros of a chunk size', chunked('0'.repeat(300)), 'request-body'],
  ])('%s', (_, text, fault) => {
    expect(read(text, limits)).toMatchObject({ fault })
  })

  test('to the byte', () => {
    const padding = (bytes: number): string =>
      `X: ${'a'.repeat(bytes - 'GET / HTTP/1.1\r\nX: \r\n\r\n'.length)}\r\n\r\n`
    for (const [bytes, fault] of [
      [199, null],
      [200, null],
      [201, 'head-too-large'],
      [202, 'head-too-large'],
    ] as const) {
      expect(read(`GET / HTTP/1.1\r\n${padding(bytes)}`, limits).fault).toBe(fault)
    }
    expect(read(`GET ${'/'.repeat(50)} HTTP/1.1\r\n\r\n`, limits).fault).toBeNull()
    expect(read(`GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(4)}\r\n`, limits).fault).toBeNull()
  })

  test('a head a byte at a time costs as much as its bytes', () => {
    const fields = Array.from({ length: 200 }, (_, i) => `X-${i}: ${'a'.repeat(140)}\r\n`).join('')
    expect(readByteByByte(`GET / HTTP/1.1\r\n${fields}\r\n`)).toMatchObject({
      fault: null,
      requests: [{ complete: true }],
    })
  })
})

describe('properties', () => {
  const token = fc.string({ unit: fc.constantFrom(..."!#$%&'*+-.^_`|~0aZ"), minLength: 1, maxLength: 12 })
  const latin1 = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  const target = latin1.map((text) => `/${text.replace(/[\x00-\x20\x7f]/g, '')}`)
  const value = latin1.map((text) => text.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, '').replace(/^[ \t]+|[ \t]+$/g, ''))
  const field = fc.tuple(
    token.filter((name) => !/^(content-length|transfer-encoding|connection|upgrade)$/i.test(name)),
    value,
  )
  const request = fc.record({
    method: token.filter((method) => method !== 'CONNECT'),
    target,
    fields: fc.array(field, { maxLength: 4 }),
    body: fc.oneof(
      fc.constant(null),
      latin1.map((text) => ({ text, chunks: null })),
      fc
        .record({ chunks: fc.array(latin1.filter((text) => text !== '')), trailers: fc.array(field, { maxLength: 2 }) })
        .map(({ chunks, trailers }) => ({ text: chunks.join(''), chunks, trailers })),
    ),
  })
  type Request = typeof request extends fc.Arbitrary<infer T> ? T : never

  const lines = (fields: readonly (readonly [string, string])[]): string =>
    fields.map(([name, text]) => `${name}: ${text}\r\n`).join('')

  function written({ method, target: path, fields, body }: Request): string {
    const head = `${method} ${path} HTTP/1.1\r\n${lines(fields)}`
    if (body === null) return `${head}\r\n`
    if (body.chunks === null) return `${head}Content-Length: ${body.text.length}\r\n\r\n${body.text}`
    const data = body.chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')
    return `${head}Transfer-Encoding: chunked\r\n\r\n${data}0\r\n${lines(body.trailers)}\r\n`
  }

  const splits = fc.array(fc.nat(600), { maxLength: 6 })

  function pieces(text: string, at: readonly number[]): Buffer[] {
    const bytes = Buffer.from(text, 'latin1')
    const edges = [0, ...at.filter((edge) => edge < bytes.length).sort((a, b) => a - b), bytes.length]
    return edges.slice(1).map((end, i) => bytes.subarray(edges[i], end))
  }

  test('what is written is read, however it is split', () => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 3 }), splits, (requests, at) => {
        const seen = readRequests(pieces(requests.map(written).join(''), at))
        expect(seen.fault).toBeNull()
        const read_ = seen.requests.map(({ method, target: path, body, trailers }) => ({
          method,
          path,
          body,
          trailers,
        }))
        expect(read_).toEqual(
          requests.map(({ method, target: path, body }) => ({
            method,
            path,
            body: body?.text ?? '',
            trailers: body?.chunks ? body.trailers.flat() : [],
          })),
        )
        expect(seen.requests.map(({ rawHeaders }) => rawHeaders.slice(0, -2))).toEqual(
          requests.map(({ fields, body }) => (body === null ? fields.flat().slice(0, -2) : fields.flat())),
        )
      }),
      { numRuns: 1000 },
    )
  })

  test('how malformed bytes are split changes nothing', () => {
    const change = fc.record({
      at: fc.nat(300),
      out: fc.nat(2),
      into: fc.constantFrom('', '\r', '\n', '\0', ' ', ':', ';', '\r\n'),
    })
    const limits = { maxHeadBytes: 60, maxFields: 3, maxTargetLength: 15 }
    fc.assert(
      fc.property(
        fc.array(request, { maxLength: 2 }),
        fc.array(change, { maxLength: 3 }),
        splits,
        (requests, changes, at) => {
          let text = requests.map(written).join('')
          for (const { at: place, out, into } of changes) text = text.slice(0, place) + into + text.slice(place + out)
          const whole = verdict(readRequestText(text, limits))
          expect(verdict(readRequests(pieces(text, at), limits))).toEqual(whole)
          expect(verdict(readByteByByte(text, limits))).toEqual(whole)
        },
      ),
      { numRuns: 2000 },
    )
  })
})
