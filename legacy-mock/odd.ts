/**
 * Answers that are unusual but right: odd header names and values, repeated fields, strange reasons, HTTP/1.0 without a length.
 */
import type { Exchange, Field } from './exchange.ts'
import { Refusal } from './exchange.ts'
import type { Route } from './router.ts'

const TEXT = 'text/plain; charset=ISO-8859-1'

/** The routes of this family. */
export const oddRoutes: readonly Route[] = [
  { path: '/odd/latin1', methods: { GET: latin1 } },
  { path: '/odd/case', methods: { GET: oddCase } },
  { path: '/odd/duplicates', methods: { GET: duplicates } },
  {
    path: '/odd/reason',
    methods: { GET: (x) => x.send({ code: 200, reason: 'Alles in Ordnung, danke' }, TEXT, 'ok\n') },
  },
  { path: '/odd/no-reason', methods: { GET: (x) => raw(x, 'HTTP/1.1 200 ') } },
  { path: '/odd/http10', methods: { GET: (x) => raw(x, 'HTTP/1.0 200 OK') } },
  { path: '/odd/until-close', methods: { GET: (x) => raw(x, 'HTTP/1.1 200 OK') } },
  { path: '/odd/empty', methods: { GET: empty } },
  { path: '/odd/chunks', methods: { GET: chunks } },
  { path: '/odd/status/:code', methods: { '*': status } },
]

function latin1(x: Exchange): void {
  x.send(200, TEXT, 'Gr\xfcezi aus Z\xfcrich\n', [['X-Store-Name', 'Caf\xe9 Z\xfcrich \xa9']])
}

function oddCase(x: Exchange): void {
  const fields: Field[] = [
    ['x-lower', 'a'],
    ['X-UPPER', 'b'],
    ['x-MiXeD-cAsE', 'c'],
    ['ETAG', '"odd"'],
    ['cOOKIE', 'not=mine'],
    ['X_Under_Score', 'd'],
    ['x.dotted!#$%&', 'e'],
  ]
  x.send(200, TEXT, 'odd\n', fields)
}

/** Repeated fields, other fields between them: the order among equal names has a meaning (RFC 9110 section 5.3). */
function duplicates(x: Exchange): void {
  const fields: Field[] = [
    ['X-Trace', '1'],
    ['Set-Cookie', 'a=1; Path=/'],
    ['Vary', 'Accept'],
    ['x-trace', '2'],
    ['Set-Cookie', 'a=2; Path=/b'],
    ['Warning', '199 - "one, and more"'],
    ['Vary', 'Accept-Language'],
    ['Set-Cookie', 'b=3; Expires=Wed, 09-Jun-2027 10:18:14 GMT'],
    ['Warning', '299 - "two"'],
    ['X-Trace', '1'],
  ]
  x.send(200, TEXT, 'many\n', fields)
}

/** Fields without a value, and a body without a byte. */
function empty(x: Exchange): void {
  x.send(200, TEXT, '', [
    ['X-Empty', ''],
    ['X-Also-Empty', ''],
    ['X-Zero', '0'],
  ])
}

async function chunks(x: Exchange): Promise<void> {
  x.head(200, [['Content-Type', TEXT]])
  for (const piece of ['one\n', 'two\n', '\r\n0\r\n\r\n', 'three\n']) await x.write(piece)
  x.res.end()
}

function status(x: Exchange): void {
  const code = x.params.code ?? ''
  if (!/^[2-5]\d\d$/.test(code)) throw new Refusal(400, 'BAD STATUS')
  if (code === '204' || code === '304') {
    x.head(Number(code), [['X-Status', code]])
    x.res.end()
  } else x.send(Number(code), TEXT, `status ${code}\n`, [['X-Status', code]])
}

/** An answer whose end is the end of the connection (RFC 9112 section 6.3, case 8). */
async function raw(x: Exchange, statusLine: string): Promise<void> {
  const socket = await x.socket()
  const head = `${statusLine}\r\nServer: CatalogEnterprise/7.2\r\nContent-Type: ${TEXT}\r\nConnection: close\r\n\r\n`
  socket.end(x.req.method === 'HEAD' ? head : `${head}line one\r\nline two, d\xe9j\xe0 vu\r\n`, 'latin1')
}
