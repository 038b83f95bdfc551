import { describe, expect, test } from 'vitest'
import { ResponseReader } from '../../src/wire/http1.ts'
import { readPieces, readText } from './reader.ts'

const OK = 'HTTP/1.1 200 OK\r\n'

describe('framing of answers (RFC 9112 section 6)', () => {
  test('Content-Length ends the body', () => {
    const seen = readText(`${OK}Content-Length: 5\r\n\r\nhello`)
    expect(seen).toMatchObject({ status: 200, reason: 'OK', complete: true, problem: null })
    expect(seen.body.toString()).toBe('hello')
  })

  test('names, values, case, order and duplicates are as received', () => {
    const seen = readText(
      `${OK}X-ODD-Case:  a b \r\nset-cookie: a\r\nSet-Cookie: b\r\nX: caf\xe9\r\nE:\r\nContent-Length: 0\r\n\r\n`,
    )
    expect(seen.rawHeaders).toEqual([
      'X-ODD-Case',
      'a b',
      'set-cookie',
      'a',
      'Set-Cookie',
      'b',
      'X',
      'café',
      'E',
      '',
      'Content-Length',
      '0',
    ])
  })

  test('chunks with extensions and trailers', () => {
    const seen = readText(
      `${OK}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6 ; x="y"\r\n world\r\n0\r\nDigest: z\r\nB: c\r\n\r\n`,
    )
    expect(seen.body.toString()).toBe('hello world')
    expect(seen.trailers).toEqual(['Digest', 'z', 'B', 'c'])
    expect(seen.complete).toBe(true)
  })

  test('without a length the end of the connection ends the body', () => {
    expect(readText(`${OK}\r\nabc`, { closes: true })).toMatchObject({ complete: true, problem: null })
    expect(readText(`${OK}\r\nabc`).complete).toBe(false)
  })

  // RFC 9112 section 6.3, rule 4.
  test('a transfer coding that nobody has heard of: the end of the connection ends the body', () => {
    const text = `${OK}Transfer-Encoding: arizq\r\n\r\n5\r\nabc`
    const seen = readText(text, { closes: true })
    expect(seen).toMatchObject({ complete: true, problem: null })
    expect(seen.body.toString()).toBe('5\r\nabc')
    expect(readText(text).complete).toBe(false)
  })

  test.each([
    ['HEAD', `${OK}Content-Length: 5\r\n\r\n`, 'HEAD'],
    ['HEAD, chunked', `${OK}Transfer-Encoding: chunked\r\n\r\n`, 'HEAD'],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET'],
    ['304 with the length of what it stands for', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', 'GET'],
  ])('%s has no body', (_, text, method) => {
    const seen = readText(text, { method })
    expect(seen).toMatchObject({ complete: true, problem: null })
    expect(seen.body.length).toBe(0)
  })

  test('several interim answers come before the final one', () => {
    const text = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}Content-Length: 0\r\n\r\n`
    expect(readText(text)).toMatchObject({ interim: [100, 103, 102], status: 200, complete: true })
  })

  test('what is cut off is not complete', () => {
    for (const text of [
      `${OK}Content-Length: 5\r\n\r\nhell`,
      `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n`,
    ]) {
      expect(readText(text, { closes: true }).complete).toBe(false)
    }
  })
})

describe('what is refused, never guessed', () => {
  test.each([
    ['both lengths', `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['two equal Content-Length', `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
    ['two different Content-Length', `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`],
    ['a list of lengths', `${OK}Content-Length: 5, 5\r\n\r\nhello`],
    ['a sign', `${OK}Content-Length: +5\r\n\r\nhello`],
    ['a negative length', `${OK}Content-Length: -5\r\n\r\n`],
    ['a hexadecimal length', `${OK}Content-Length: 0x5\r\n\r\n`],
    ['an empty length', `${OK}Content-Length: \r\n\r\n`],
    ['a length beyond all measure', `${OK}Content-Length: 99999999999999999999\r\n\r\n`],
    ['another coding', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`],
    ['a coding whose name may be read as chunked', `${OK}Transfer-Encoding: xchunked\r\n\r\n`],
    ['identity', `${OK}Transfer-Encoding: identity\r\n\r\n`],
    ['chunked twice', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['chunked in quotes', `${OK}Transfer-Encoding: "chunked"\r\n\r\n`],
    ['a vertical tab before chunked', `${OK}Transfer-Encoding: \x0bchunked\r\n\r\n`],
    ['chunked in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['a space before the colon', `${OK}Content-Length : 5\r\n\r\nhello`],
    ['a folded line', `${OK}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
    ['a line that begins with a space', `${OK} X: a\r\n\r\n`],
    ['a bare LF', `${OK}X: a\nY: b\r\n\r\n`],
    ['LF alone, but for the status line', 'HTTP/1.1 200 OK\r\nContent-Length: 0\n\n'],
    ['LF alone, but for one field', 'HTTP/1.1 200 OK\nX: a\r\nContent-Length: 0\n\n'],
    ['LF alone, but for the empty line', 'HTTP/1.1 200 OK\nContent-Length: 0\n\r\n'],
    ['LF alone, and a bare CR', 'HTTP/1.1 200 OK\nX: a\rb\nContent-Length: 0\n\n'],
    ['LF alone, and a folded line', 'HTTP/1.1 200 OK\nX: a\n b\nContent-Length: 0\n\n'],
    ['LF alone in the trailers', `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\n`],
    ['a bare CR', `${OK}X: a\rY: b\r\n\r\n`],
    ['NUL in a value', `${OK}X: a\0b\r\n\r\n`],
    ['DEL in a value', `${OK}X: a\x7fb\r\n\r\n`],
    ['an empty name', `${OK}: a\r\n\r\n`],
    ['no colon', `${OK}X\r\n\r\n`],
    ['a name in Latin-1', `${OK}X\xe9: a\r\n\r\n`],
    ['HTTP/2 in a status line', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
    ['lower case', 'http/1.1 200 OK\r\n\r\n'],
    ['two digits of status', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['four digits of status', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['status 099', 'HTTP/1.1 099 OK\r\n\r\n'],
    ['a control character in the reason', 'HTTP/1.1 200 O\x01K\r\n\r\n'],
    ['an empty line first', `\r\n${OK}\r\n`],
    ['something else', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['100 with a body', 'HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc'],
    ['a chunk size without digits', `${OK}Transfer-Encoding: chunked\r\n\r\n;a\r\n`],
    ['an empty chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n\r\n`],
    ['0x in a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n`],
    ['a sign in a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n`],
    ['an underscore in a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n1_0\r\n`],
    ['a word behind a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n5 a\r\nhello\r\n`],
    ['a digit behind the blanks of a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n5 0\r\nhello\r\n`],
    ['a vertical tab behind a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n5\x0b\r\nhello\r\n`],
    ['LF alone behind the blanks of a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n5 \nhello\r\n`],
    ['a chunk size of zeros without end', `${OK}Transfer-Encoding: chunked\r\n\r\n${'0'.repeat(300)}`],
    ['blanks without end behind a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n5${' '.repeat(300)}`],
    ['2 to the 52nd as a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n0010000000000000\r\n`],
    ['a space before a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n`],
    ['a huge chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n`],
    ['a chunk longer than its size', `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n`],
    ['LF alone behind a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n`],
    ['CR alone behind a chunk', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\rx`],
    ['LF in a chunk extension', `${OK}Transfer-Encoding: chunked\r\n\r\n5;a\n\r\nhello\r\n`],
    [
      'two lengths among the trailers',
      `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n`,
    ],
    ['a folded trailer', `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n`],
    ['a trailer without a colon', `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nA\r\n\r\n`],
  ])('%s', (_, text) => {
    const seen = readText(text)
    expect(seen.problem).not.toBeNull()
    expect(seen.complete).toBe(false)
  })

  test('a byte beyond the end of the answer', () => {
    expect(readText(`${OK}Content-Length: 2\r\n\r\nokX`)).toMatchObject({
      complete: true,
      problem: '1 bytes after the end of the response',
    })
  })

  test('a head over the limit, be it in one piece or a byte at a time', () => {
    const text = `${OK}X: ${'a'.repeat(3000)}\r\n\r\n`
    expect(readText(text, { maxHeadBytes: 2000 }).problem).toBe('response headers too large')
    const bytes = [...Buffer.from(text)].map((byte) => Buffer.from([byte]))
    expect(readPieces(bytes, { maxHeadBytes: 2000 }).problem).toBe('response headers too large')
  })

  test('too many fields, in the head or in the trailers', () => {
    const fields = 'A: b\r\n'.repeat(20)
    expect(readText(`${OK}${fields}\r\n`, { maxFields: 10 }).problem).toBe('too many fields')
    expect(readText(`${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n${fields}\r\n`, { maxFields: 10 }).problem).toBe(
      'too many fields',
    )
  })

  test('interim heads without end', () => {
    const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
    const final = `${OK}Content-Length: 0\r\n\r\n`
    expect(readText(`${interim.repeat(20)}${final}`, { maxHeadBytes: 1000 })).toMatchObject({ complete: true })
    expect(readText(`${interim.repeat(30)}${final}`, { maxHeadBytes: 1000 }).problem).toBe(
      'interim responses too large',
    )
  })

  test('endless chunk extensions', () => {
    const text = `${OK}Transfer-Encoding: chunked\r\n\r\n${`1;${'x'.repeat(5000)}\r\na\r\n`.repeat(4)}`
    expect(readText(text).problem).toBe('chunk extensions too large')
  })
})

describe('what breaks a rule and is taken from every upstream', () => {
  test.each([
    ['a head whose lines end in LF alone', 'HTTP/1.1 200 OK\nX: a b \nContent-Length: 2\n\nok', ['X', 'a b']],
    ['the same from HTTP/1.0', 'HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2\n\nok', null],
    ['the same without a reason', 'HTTP/1.1 200\nContent-Length: 2\n\nok', null],
    ['an interim head as well', `HTTP/1.1 103 Early Hints\nLink: </a>\n\n${OK}Content-Length: 2\r\n\r\nok`, null],
    ['CRLF in the body behind it', 'HTTP/1.1 200 OK\nContent-Length: 8\n\nok\r\n\r\n\n\n', null],
    ['blanks behind a chunk size', `${OK}Transfer-Encoding: chunked\r\n\r\n2  \t\r\nok\r\n0     \r\n\r\n`, null],
    [
      'the same in many chunks',
      `${OK}Transfer-Encoding: chunked\r\n\r\n${'1     \r\na\r\n'.repeat(9000)}0\r\n\r\n`,
      null,
    ],
  ] as const)('%s', (_, text, first) => {
    const seen = readText(text)
    expect(seen).toMatchObject({ status: 200, complete: true, keepAlive: true, repaired: true, problem: null })
    expect(seen.body.toString()).toMatch(/^(ok|a+$)/)
    if (first !== null) expect(seen.rawHeaders.slice(0, 2)).toEqual(first)
  })

  test('leading zeros of a chunk size break none', () => {
    const text = `${OK}Transfer-Encoding: chunked\r\n\r\n${'0'.repeat(40)}2\r\nok\r\n${'0'.repeat(32)}\r\n\r\n`
    expect(readText(text)).toMatchObject({ complete: true, repaired: false, problem: null })
  })

  test('one answer that was mended says nothing of the next', () => {
    const reader = new ResponseReader()
    const sink = { onInformation() {}, onHead() {}, onBody() {}, onEnd() {} }
    reader.begin(sink, 'GET', false)
    reader.push(Buffer.from('HTTP/1.1 204 No Content\n\n'))
    expect(reader.repaired).toBe(true)
    reader.begin(sink, 'GET', false)
    reader.push(Buffer.from('HTTP/1.1 204 No Content\r\n\r\n'))
    expect(reader.repaired).toBe(false)
  })
})

describe('a lenient upstream (opt-in)', () => {
  test.each([
    ['bare LF line ends', 'HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\nok'],
    ['a folded line', `${OK}X: a\r\n  b\r\nContent-Length: 2\r\n\r\nok`],
    ['a space before the colon', `${OK}X : a\r\nContent-Length: 2\r\n\r\nok`],
    ['a control character in a value', `${OK}X: a\x01b\r\nContent-Length: 2\r\n\r\nok`],
    ['line ends of both kinds', `${OK}X: a\nContent-Length: 2\n\r\nok`],
    ['the same length twice', `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`],
    ['a list of equal lengths', `${OK}Content-Length: 2, 2\r\n\r\nok`],
    ['equal lengths in lines and lists', `${OK}Content-Length: 2 ,2\r\ncontent-length: 2\r\n\r\nok`],
    ['identity with a length', `${OK}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok`],
  ])('lets %s through', (_, text) => {
    const seen = readText(text, { lenient: true })
    expect(seen).toMatchObject({ status: 200, complete: true, keepAlive: false, repaired: true, problem: null })
    expect(seen.body.toString()).toBe('ok')
    expect(seen.rawHeaders.filter((name) => name === 'Content-Length')).toHaveLength(1)
    expect(seen.rawHeaders).toContain('2')
  })

  test.each([
    ['chunked in two lines', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`],
    ['chunked twice in one line', `${OK}Transfer-Encoding: Chunked, chunked\r\n`],
    ['chunked with a length', `${OK}Content-Length: 9\r\nTransfer-Encoding: chunked\r\n`],
    ['chunked with a length behind it', `${OK}Transfer-Encoding: chunked\r\nContent-Length: 9\r\n`],
    ['chunked in HTTP/1.0', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n'],
    ['chunked with a length in HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n'],
  ])('reads %s as chunks, and closes behind them', (_, head) => {
    const seen = readText(`${head}\r\n2\r\nok\r\n0\r\n\r\n`, { lenient: true })
    expect(seen).toMatchObject({ status: 200, complete: true, keepAlive: false, repaired: true, problem: null })
    expect(seen.body.toString()).toBe('ok')
    expect(seen.rawHeaders.join().toLowerCase()).not.toContain('content-length')
  })

  test('identity without a length: the end of the connection ends the body', () => {
    const seen = readText(`${OK}Transfer-Encoding: identity\r\n\r\nok`, { lenient: true, closes: true })
    expect(seen).toMatchObject({ complete: true, repaired: true, problem: null })
    expect(seen.body.toString()).toBe('ok')
  })

  test('what breaks no rule is not mended, and its connection stays', () => {
    const seen = readText(`${OK}Content-Length: 2\r\n\r\nok`, { lenient: true })
    expect(seen).toMatchObject({ complete: true, keepAlive: true, repaired: false })
  })

  test.each([
    ['two different lengths', `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`],
    ['a list of different lengths', `${OK}Content-Length: 5, 6\r\n\r\n`],
    ['a list of lengths with a hole', `${OK}Content-Length: 5,,5\r\n\r\nhello`],
    [
      'chunked with two different lengths',
      `${OK}Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ],
    ['chunked with a malformed length', `${OK}Content-Length: +5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['chunked and gzip', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n`],
    ['chunked and identity', `${OK}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['chunked twice, once in disguise', `${OK}Transfer-Encoding: \x0bchunked, chunked\r\n\r\n0\r\n\r\n`],
    ['a space before the colon of a length', `${OK}Content-Length : 5\r\n\r\nhello`],
    ['another coding', `${OK}Transfer-Encoding: gzip\r\n\r\n`],
    ['a control character in a coding', `${OK}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
    ['a folded coding', `${OK}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
    ['a line folded behind a coding', `${OK}Transfer-Encoding: chunked\r\n , identity\r\n\r\n0\r\n\r\n`],
    ['a folded length', `${OK}Content-Length:\r\n 5\r\n\r\nhello`],
    ['a control character behind a length', `${OK}Content-Length: 5\x0b\r\n\r\nhello`],
    ['a bare CR behind a length', `${OK}Content-Length: 5\r\r\n\r\nhello`],
    ['a control character in the name of a length', `${OK}Content\x00Length: 5\r\n\r\nhello`],
    ['a control character before the colon of a coding', `${OK}Transfer-Encoding\x01: chunked\r\n\r\n0\r\n\r\n`],
  ])('never %s', (_, text) => {
    expect(readText(text, { lenient: true }).problem).not.toBeNull()
  })
})

describe('where the bytes are split never matters', () => {
  const messages: [string, { lenient?: boolean }][] = [
    [`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 5\r\nX: y\r\n\r\nhello`, {}],
    [`${OK}Transfer-Encoding: chunked\r\nTrailer: D\r\n\r\n5;e=f\r\nhello\r\n1\r\n!\r\n0\r\nD: z\r\n\r\n`, {}],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`, {}],
    ['HTTP/1.1 200 OK\nX: a\n b\nContent-Length: 2\n\nok', { lenient: true }],
    ['HTTP/1.1 103 Early Hints\n\nHTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\nok', {}],
    ['HTTP/1.1 200 OK\nX: a\nContent-Length: 4\n\nok\r\n', {}],
    ['HTTP/1.1 200 OK\nX: a\r\nContent-Length: 2\n\nok', {}],
    ['HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\r\nok', {}],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n002  \r\nab\r\n0 \r\n\r\n`, {}],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nX`, { lenient: true }],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nD: a\nE: b\r\n\r\n`, {}],
    [`${OK}Content-Length: 5\r\nX: a\nb\r\n\r\nhello`, {}],
    [`${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX`, {}],
  ]
  test.each(messages)('%j', (text, options) => {
    const bytes = Buffer.from(text, 'latin1')
    const whole = readPieces([bytes], options)
    for (let i = 1; i < bytes.length; i++) {
      const split = readPieces([bytes.subarray(0, i), bytes.subarray(i)], options)
      expect({ ...split, problem: split.problem !== null }).toEqual({ ...whole, problem: whole.problem !== null })
    }
    const single = readPieces(
      [...bytes].map((byte) => Buffer.from([byte])),
      options,
    )
    expect({ ...single, problem: single.problem !== null }).toEqual({ ...whole, problem: whole.problem !== null })
  })
})
