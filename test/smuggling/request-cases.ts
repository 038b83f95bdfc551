/**
 * Malformed and ambiguous requests, and what must become of each. Data only; requests.test.ts sends them.
 *
 * Longer than most files: it is one list.
 */

/** What must become of a request. */
export type Outcome =
  /**
   * Banyan answers with one of these statuses and closes; no complete message comes to the upstream. None where the
   * connection is closed behind the answer to the good request before it.
   */
  | { readonly refused: readonly number[] }
  /** It passes as the one message that it is: with this body (default '') and this target (default /case). */
  | {
      readonly passes: string
      readonly target?: string
      /** Its answer ends the connection: the marker behind it is not answered. */
      readonly last?: true
    }

export interface RequestCase {
  readonly name: string
  /** Latin-1 text as the client sends it. The test appends a well-formed marker request. */
  readonly bytes: string
  readonly outcome: Outcome
  /** Methods in order where it is not one POST or GET; for reading the answers. */
  readonly method?: string
  /** The case begins with this many well-formed requests, which are answered. */
  readonly before?: number
}

const BAD: Outcome = { refused: [400] }
/** Where a request line breaks off early, its version is what is missing. */
const UNREADABLE_LINE = [400, 505]
/** What a case would have an upstream take for a request of its own. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: front.test\r\n\r\n'
const HOST = 'Host: front.test\r\n'

function post(fields: string, body = '', version = 'HTTP/1.1'): string {
  return `POST /case ${version}\r\n${HOST}${fields}\r\n${body}`
}

function get(fields: string): string {
  return `GET /case HTTP/1.1\r\n${HOST}${fields}\r\n`
}

function chunked(body: string): string {
  return post('Transfer-Encoding: chunked\r\n', body)
}

function line(requestLine: string): string {
  return `${requestLine}\r\n${HOST}\r\n`
}

function lengthCases(): RequestCase[] {
  const bodies: [string, string][] = [
    ['a plus sign', '+5'],
    ['a minus sign', '-1'],
    ['hexadecimal', '0x5'],
    ['an underscore', '5_0'],
    ['a list of equal lengths', '5, 5'],
    ['a list of two lengths', '5,6'],
    ['a space inside', '5 5'],
    ['a fraction', '5.0'],
    ['an exponent', '5e0'],
    ['nothing', ''],
    ['a word', 'five'],
    ['quotes', '"5"'],
    ['a vertical tab before', '\x0b5'],
    ['a NUL behind', '5\0'],
    ['Latin-1 digits (superscript)', '\xb2'],
    ['more than 2^53', '9007199254740993'],
    ['more than 2^64', '18446744073709551621'],
    ['forty digits', '5'.repeat(40)],
  ]
  return [
    ...bodies.map(([what, value]) => ({
      name: `Content-Length with ${what}`,
      bytes: post(`Content-Length: ${value}\r\n`, `hello${SMUGGLED}`),
      outcome: BAD,
    })),
    {
      name: 'Content-Length with leading zeros',
      bytes: post('Content-Length: 0005\r\n', 'hello'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'Content-Length with spaces around',
      bytes: post('Content-Length: \t 5 \t\r\n', 'hello'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'Content-Length twice, equal',
      bytes: post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
      outcome: BAD,
    },
    {
      name: 'Content-Length twice, different',
      bytes: post(`Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
      outcome: BAD,
    },
    {
      name: 'Content-Length twice, in other case',
      bytes: post(`content-length: ${SMUGGLED.length}\r\nCONTENT-LENGTH: 0\r\n`, SMUGGLED),
      outcome: BAD,
    },
    { name: 'Content-Length folded', bytes: post('Content-Length:\r\n 5\r\n', 'hello'), outcome: BAD },
    {
      name: 'Content-Length with a space before the colon',
      bytes: post('Content-Length : 5\r\n', 'hello'),
      outcome: BAD,
    },
    {
      name: 'Content_Length beside Content-Length',
      bytes: post(`Content-Length: ${SMUGGLED.length}\r\nContent_Length: 0\r\n`, SMUGGLED),
      outcome: BAD,
    },
    {
      name: 'Content-Length in a GET',
      bytes: get('Content-Length: 5\r\n').concat('hello'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'Content-Length in a HEAD, a message as its body',
      bytes: `HEAD /case HTTP/1.1\r\n${HOST}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
      outcome: { passes: SMUGGLED },
      method: 'HEAD',
    },
  ]
}

function codingCases(): RequestCase[] {
  const body = `0\r\n\r\n${SMUGGLED}`
  const refused: [string, string, number[]][] = [
    ['Transfer-Encoding before Content-Length', 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', [400]],
    ['Content-Length before Transfer-Encoding', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', [400]],
    ['Content-Length: 0 and Transfer-Encoding', 'Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', [400]],
    ['Transfer-Encoding with a space before the colon', 'Transfer-Encoding : chunked\r\n', [400]],
    ['Transfer-Encoding with a tab before the colon', 'Transfer-Encoding\t: chunked\r\n', [400]],
    ['xchunked', 'Transfer-Encoding: xchunked\r\n', [400, 501]],
    ['chunkedx', 'Transfer-Encoding: chunkedx\r\n', [400, 501]],
    ['xchunked with a length', `Content-Length: ${body.length}\r\nTransfer-Encoding: xchunked\r\n`, [400, 501]],
    ['chunked, identity', 'Transfer-Encoding: chunked, identity\r\n', [400, 501]],
    ['identity, chunked', 'Transfer-Encoding: identity, chunked\r\n', [400, 501]],
    ['identity', 'Transfer-Encoding: identity\r\n', [400, 501]],
    ['gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n', [400, 501]],
    ['chunked, chunked', 'Transfer-Encoding: chunked, chunked\r\n', [400, 501]],
    ['chunked with a comma behind', 'Transfer-Encoding: chunked,\r\n', [400, 501]],
    ['chunked with a comma before', 'Transfer-Encoding: ,chunked\r\n', [400, 501]],
    ['chunked with a parameter', 'Transfer-Encoding: chunked;q=1\r\n', [400, 501]],
    ['an empty Transfer-Encoding', 'Transfer-Encoding:\r\n', [400, 501]],
    ['a second line, folded', 'Transfer-Encoding: chunked\r\n , identity\r\n', [400]],
    ['Transfer-Encoding folded', 'Transfer-Encoding:\r\n chunked\r\n', [400]],
    ['Transfer-Encoding twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', [400, 501]],
    ['chunked and identity in two lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', [400, 501]],
    ['identity and chunked in two lines', 'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', [400, 501]],
    ['Transfer_Encoding', 'Transfer_Encoding: chunked\r\n', [400]],
    ['TE: x and Transfer_Encoding', 'TE: x\r\nTransfer_Encoding: chunked\r\n', [400]],
    ['a tab behind chunked', 'Transfer-Encoding: chunked\t\r\n', [400]],
    ['a vertical tab before chunked', 'Transfer-Encoding: \x0bchunked\r\n', [400]],
    ['a form feed behind chunked', 'Transfer-Encoding: chunked\x0c\r\n', [400]],
    ['a NUL in chunked', 'Transfer-Encoding: chun\0ked\r\n', [400]],
    ['a no-break space behind chunked', 'Transfer-Encoding: chunked\xa0\r\n', [400, 501]],
    ['chunked in quotes', 'Transfer-Encoding: "chunked"\r\n', [400, 501]],
    ['Transfer-Encoding with a NUL in the name', 'Transfer\0-Encoding: chunked\r\n', [400]],
    ['a bare CR before Transfer-Encoding', 'X: a\rTransfer-Encoding: chunked\r\n', [400]],
    ['a bare LF before Transfer-Encoding', 'X: a\nTransfer-Encoding: chunked\r\n', [400]],
    ['a line that begins with a space', ' Transfer-Encoding: chunked\r\n', [400]],
  ]
  return [
    ...refused.map(([name, fields, statuses]) => ({
      name,
      bytes: post(fields, body),
      outcome: { refused: statuses },
    })),
    {
      name: 'Transfer-Encoding in HTTP/1.0',
      bytes: post('Transfer-Encoding: chunked\r\n', body, 'HTTP/1.0'),
      outcome: BAD,
    },
    {
      name: 'chunked with white space behind and in other case',
      bytes: post('tRANSFER-eNCODING:   CHUNKED \r\n', '5\r\nhello\r\n0\r\n\r\n'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'a chunked GET',
      bytes: get('Transfer-Encoding: chunked\r\n').concat('5\r\nhello\r\n0\r\n\r\n'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'a chunked DELETE with a message as its body (CVE-2026-29057)',
      bytes: `DELETE /case HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      outcome: { passes: SMUGGLED },
    },
    {
      name: 'a chunked OPTIONS with a message as its body (CVE-2026-29057)',
      bytes: `OPTIONS /case HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      outcome: { passes: SMUGGLED },
    },
  ]
}

function chunkCases(): RequestCase[] {
  const refused: [string, string][] = [
    ['0x in a chunk size', '0x5\r\nhello\r\n0\r\n\r\n'],
    ['a plus sign in a chunk size', '+5\r\nhello\r\n0\r\n\r\n'],
    ['a minus sign in a chunk size', '-5\r\nhello\r\n0\r\n\r\n'],
    ['a space before a chunk size', ' 5\r\nhello\r\n0\r\n\r\n'],
    ['a space behind a chunk size', '5 \r\nhello\r\n0\r\n\r\n'],
    ['an underscore in a chunk size', '1_0\r\nhello\r\n0\r\n\r\n'],
    ['a chunk size of 17 digits', `10000000000000005\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['a chunk size that overflows to 0', `10000000000000000\r\n\r\n${SMUGGLED}`],
    ['no chunk size', `\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['a chunk size of letters', `xyz\r\n${SMUGGLED}`],
    ['LF alone behind a chunk size', '5\nhello\r\n0\r\n\r\n'],
    ['CR alone behind a chunk size', '5\rhello\r\n0\r\n\r\n'],
    ['no CRLF behind the data', '5\r\nhello0\r\n\r\n'],
    ['LF alone behind the data', '5\r\nhello\n0\r\n\r\n'],
    ['two bytes other than CRLF behind the data (TERM.EXT)', `5\r\nhelloXX0\r\n\r\n${SMUGGLED}`],
    ['a chunk longer than its size', `2\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['LF in a chunk extension (TERM.EXT, CVE-2025-66373)', `5;a\nb\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['LF alone behind a chunk extension (EXT.TERM)', `5;a\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['CR in a chunk extension', `5;a\rb\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['CR and LF apart in a chunk extension', `5;a\r\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['NUL in a chunk extension', `5;a\0b\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
    ['LF alone behind the last chunk', `0\n\r\n${SMUGGLED}`],
    ['CR alone behind the last chunk', `0\r\n\r${SMUGGLED}`],
    ['a trailer without a colon', `0\r\nX\r\n\r\n${SMUGGLED}`],
    ['a folded trailer', `0\r\nX: a\r\n b\r\n\r\n${SMUGGLED}`],
    ['a space before the colon of a trailer', `0\r\nX : a\r\n\r\n${SMUGGLED}`],
    ['a bare LF behind a trailer', `0\r\nX: a\n\r\n${SMUGGLED}`],
    ['a NUL in a trailer', `0\r\nX: a\0\r\n\r\n${SMUGGLED}`],
  ]
  return [
    ...refused.map(([name, body]) => ({ name, bytes: chunked(body), outcome: BAD })),
    {
      name: 'Content-Length among the trailers',
      bytes: chunked(`5\r\nhello\r\n0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n`),
      outcome: BAD,
    },
    {
      name: 'Transfer-Encoding among the trailers',
      bytes: chunked('5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n'),
      outcome: BAD,
    },
    {
      name: 'Host among the trailers',
      bytes: chunked('5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'extensions of chunks',
      bytes: chunked('5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'a chunk size in capitals with zeros',
      bytes: chunked('000A\r\nhellohello\r\n00\r\n\r\n'),
      outcome: { passes: 'hellohello' },
    },
  ]
}

function fieldCases(): RequestCase[] {
  const refused: [string, string][] = [
    ['a folded field', 'X: a\r\n b\r\n'],
    ['a field folded with a tab', 'X: a\r\n\tb\r\n'],
    ['a fold that holds a length', 'X: a\r\n Content-Length: 5\r\n'],
    ['a space before the colon', 'X : a\r\n'],
    ['an empty name', ': a\r\n'],
    ['a field without a colon', 'X\r\n'],
    ['a bare CR as a line end', 'X: a\rY: b\r\n'],
    ['a bare LF as a line end', 'X: a\nY: b\r\n'],
    ['an empty line of a bare LF', `X: a\n\n${SMUGGLED}`],
    ['an empty line of CR CR LF', `X: a\r\r\n\r\n${SMUGGLED}`],
    ['NUL in a value', 'X: a\0b\r\n'],
    ['a control character in a value', 'X: a\x01b\r\n'],
    ['DEL in a value', 'X: a\x7fb\r\n'],
    ['NUL in a name', 'X\0Y: a\r\n'],
    ['a control character in a name', 'X\x01Y: a\r\n'],
    ['Latin-1 in a name', 'X\xe9: a\r\n'],
    ['a slash in a name', 'X/Y: a\r\n'],
    ['a space in a name', 'X Y: a\r\n'],
    ['a second Host, equal', HOST],
    ['a second Host, different', 'Host: evil.test\r\n'],
    ['a second Host in capitals', 'HOST: evil.test\r\n'],
    ['a second Host with a space before the colon', 'Host : evil.test\r\n'],
  ]
  const hosts: [string, string][] = [
    ['a path', 'front.test/smuggled'],
    ['user information', 'front.test@evil.test'],
    ['a space', 'front.test evil.test'],
    ['a list', 'front.test, evil.test'],
    ['a comma', 'front.test,evil.test'],
    ['a query', 'front.test?x'],
    ['a fragment', 'front.test#x'],
    ['a backslash', 'front.test\\evil'],
    ['nothing', ''],
    ['a tab', 'front\ttest'],
    ['Latin-1', 'fr\xf6nt.test'],
    ['a port of letters', 'front.test:evil'],
    ['two ports', 'front.test:80:81'],
    ['a broken IPv6 literal', '[::1'],
  ]
  return [
    ...refused.map(([name, fields]) => ({ name, bytes: get(fields), outcome: BAD })),
    ...hosts.map(([what, value]) => ({
      name: `Host with ${what}`,
      bytes: `GET /case HTTP/1.1\r\nHost: ${value}\r\n\r\n`,
      outcome: BAD,
    })),
    { name: 'Host folded', bytes: 'GET /case HTTP/1.1\r\nHost:\r\n front.test\r\n\r\n', outcome: BAD },
    { name: 'no Host', bytes: 'GET /case HTTP/1.1\r\nX: a\r\n\r\n', outcome: BAD },
    {
      name: 'a folded field as the first line',
      bytes: `GET /case HTTP/1.1\r\n X: a\r\n${HOST}\r\n`,
      outcome: BAD,
    },
    ...['host', 'content-length', 'transfer-encoding', 'keep-alive, content-length, host'].map((named) => ({
      name: `Connection that names ${named}`,
      bytes: post(`Connection: ${named}\r\nContent-Length: 5\r\n`, 'hello'),
      outcome: { passes: 'hello' },
    })),
    {
      name: 'Connection that names transfer-encoding in a chunked request',
      bytes: post(`Connection: Transfer-Encoding, Host\r\nTransfer-Encoding: chunked\r\n`, '5\r\nhello\r\n0\r\n\r\n'),
      outcome: { passes: 'hello' },
    },
  ]
}

function lineCases(): RequestCase[] {
  const refused: [string, string, number[]?][] = [
    ['a tab before the target', 'GET\t/case HTTP/1.1'],
    ['a tab behind the target', 'GET /case\tHTTP/1.1'],
    ['a space behind the version', 'GET /case HTTP/1.1 '],
    ['junk behind the version', 'GET /case HTTP/1.1x'],
    ['a second target', 'GET /case /smuggled HTTP/1.1'],
    ['two versions', 'GET /case HTTP/1.1 HTTP/1.1'],
    ['http in lower case', 'GET /case http/1.1'],
    ['no version', 'GET /case'],
    ['HTTP/1.10', 'GET /case HTTP/1.10', [400, 505]],
    ['HTTP/1.2', 'GET /case HTTP/1.2', [400, 505]],
    ['HTTP/0.9', 'GET /case HTTP/0.9', [400, 505]],
    ['HTTP/2.0', 'GET /case HTTP/2.0', [400, 505]],
    ['HTTP/11', 'GET /case HTTP/11', [400, 505]],
    ['HTTP/ 1.1', 'GET /case HTTP/ 1.1', [400, 505]],
    ['another protocol', 'GET /case ICE/1.0', [400, 505]],
    ['RTSP', 'DESCRIBE rtsp://front.test/ RTSP/1.0', [400, 505]],
    ['a method with a slash', 'GE/T /case HTTP/1.1'],
    ['a space before the method', ' GET /case HTTP/1.1'],
    ['NUL in the target', 'GET /ca\0se HTTP/1.1'],
    ['a control character in the target', 'GET /ca\x01se HTTP/1.1'],
    ['DEL in the target', 'GET /ca\x7fse HTTP/1.1'],
    ['a bare CR in the target', 'GET /case\rX: y HTTP/1.1'],
    ['a bare LF in the target', 'GET /case\nX: y HTTP/1.1'],
    ['a space in the target', 'GET /case x HTTP/1.1'],
    ['a target without a slash', 'GET case HTTP/1.1'],
    ['a target of user information', 'GET @evil.test/ HTTP/1.1'],
    ['an asterisk with GET', 'GET * HTTP/1.1'],
    ['an asterisk with a path', 'OPTIONS */case HTTP/1.1'],
    ['an authority as target', 'GET front.test:80 HTTP/1.1'],
    ['CONNECT', 'CONNECT front.test:80 HTTP/1.1', [400, 501]],
    ['absolute form with another authority', 'GET http://evil.test/case HTTP/1.1'],
    ['absolute form with another port', 'GET http://front.test:81/case HTTP/1.1'],
    ['absolute form with user information', 'GET http://front.test@evil.test/case HTTP/1.1'],
    ['absolute form with user information before the right name', 'GET http://evil.test@front.test/case HTTP/1.1'],
    ['absolute form without an authority', 'GET http:///case HTTP/1.1'],
    ['absolute form with another scheme', 'GET ftp://front.test/case HTTP/1.1'],
    ['absolute form with a backslash', 'GET http://front.test\\@evil.test/case HTTP/1.1'],
    ['absolute form with a fragment behind the authority', 'GET http://front.test#x HTTP/1.1'],
    ['absolute form with one slash', 'GET http:/front.test/case HTTP/1.1'],
  ]
  return [
    ...refused.map(([name, text, statuses]) => ({
      name,
      bytes: line(text),
      outcome: { refused: statuses ?? UNREADABLE_LINE },
    })),
    // RFC 9112 section 3 allows to read them; what goes on has one space.
    { name: 'two spaces before the target', bytes: line('GET  /case HTTP/1.1'), outcome: { passes: '' } },
    { name: 'two spaces behind the target', bytes: line('GET /case  HTTP/1.1'), outcome: { passes: '' } },
    {
      name: 'bare LF line ends',
      bytes: `GET /case HTTP/1.1\nHost: front.test\n\n`,
      outcome: { refused: UNREADABLE_LINE },
    },
    { name: 'bare CR line ends', bytes: `GET /case HTTP/1.1\rHost: front.test\r\r`, outcome: BAD },
    { name: 'an HTTP/0.9 request', bytes: 'GET /case\r\n', outcome: { refused: UNREADABLE_LINE } },
    { name: 'empty lines before the request line', bytes: `\r\n\r\n${get('')}`, outcome: { passes: '' } },
    {
      name: 'absolute form',
      bytes: line('GET http://front.test/case HTTP/1.1'),
      outcome: { passes: '' },
    },
    {
      name: 'a fragment in the target',
      bytes: line('GET /case#x HTTP/1.1'),
      outcome: { passes: '', target: '/case#x' },
    },
    {
      name: 'a backslash in the target',
      bytes: line('GET /a\\..\\case HTTP/1.1'),
      outcome: { passes: '', target: '/a\\..\\case' },
    },
    {
      name: 'two slashes and a name',
      bytes: line('GET //evil.test/case HTTP/1.1'),
      outcome: { passes: '', target: '//evil.test/case' },
    },
    {
      name: 'an encoded CRLF in the target',
      bytes: line('GET /case%0d%0aX:%20y HTTP/1.1'),
      outcome: { passes: '', target: '/case%0d%0aX:%20y' },
    },
    { name: 'TLS where HTTP is spoken', bytes: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', outcome: BAD },
    { name: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', outcome: { refused: [400, 505] } },
  ]
}

function combinedCases(): RequestCase[] {
  return [
    {
      name: 'garbage behind a complete request',
      bytes: `${get('')}\0\0\0\0`,
      before: 1,
      outcome: BAD,
    },
    {
      name: 'a bad request behind a good one in one write',
      bytes: `${get('')}${post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`)}`,
      before: 1,
      outcome: BAD,
    },
    {
      name: 'an upgrade with a length, a message as its body',
      bytes: get(`Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: ${SMUGGLED.length}\r\n`).concat(
        SMUGGLED,
      ),
      outcome: { passes: SMUGGLED, last: true },
    },
    {
      name: 'an upgrade with chunks, a message as its body',
      bytes: get('Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n').concat(
        `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      ),
      outcome: { passes: SMUGGLED, last: true },
    },
    {
      name: 'h2c, a message as its body',
      bytes: post(
        `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: ${SMUGGLED.length}\r\n`,
        SMUGGLED,
      ),
      outcome: { passes: SMUGGLED },
    },
    {
      name: 'Expect: 100-continue with a message as its body, sent at once',
      bytes: post(`Expect: 100-continue\r\nContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
      outcome: { passes: SMUGGLED },
    },
    {
      name: 'Expect: 100-continue in a GET without a body',
      bytes: get('Expect: 100-continue\r\n'),
      outcome: { passes: '' },
    },
    {
      name: 'Expect of another kind',
      bytes: post('Expect: x-100-continue\r\nContent-Length: 5\r\n', 'hello'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'Expect twice',
      bytes: post('Expect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n', 'hello'),
      outcome: { passes: 'hello' },
    },
    {
      name: 'a POST without a body that is followed by what looks like one',
      bytes: post('', ''),
      outcome: { passes: '' },
    },
  ]
}

/** All cases. */
export const REQUEST_CASES: readonly RequestCase[] = [
  ...lengthCases(),
  ...codingCases(),
  ...chunkCases(),
  ...fieldCases(),
  ...lineCases(),
  ...combinedCases(),
]
