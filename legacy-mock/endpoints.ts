/**
 * Every endpoint of the application as a request that can be made, for tests that go through them all.
 */

/** What an answer is like on the wire:
 * - `whole`: one complete answer; the same bytes each time where the clock is frozen
 * - `interim`: as `whole`, with 1xx answers in front
 * - `stream`: chunked, with an end; the same content and trailers where the clock is frozen, cut into chunks anyhow
 * - `until-close`: its end is the end of the connection
 * - `endless`: goes on until the client leaves
 * - `upgrade`: 101, then another protocol
 * - `broken`: the connection ends before the answer does, or the answer is no HTTP
 * - `silent`: stops, in front of the head or in mid-body, until the client leaves
 */
export type EndpointKind = 'whole' | 'interim' | 'stream' | 'until-close' | 'endless' | 'upgrade' | 'broken' | 'silent'

/** A request that shows an endpoint. Host is left to whoever sends it, and Content-Length where there is a body. */
export interface Endpoint {
  readonly name: string
  readonly method: string
  /** The request target, to be sent as it stands. */
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Characters stand for single bytes; null for none. */
  readonly body: string | null
  readonly kind: EndpointKind
}

type More = Partial<Pick<Endpoint, 'method' | 'headers' | 'body'>>

function at(kind: EndpointKind, name: string, path: string, more: More = {}): Endpoint {
  return { name, method: 'GET', path, headers: [], body: null, kind, ...more }
}

function form(name: string, path: string, body: string): Endpoint {
  const headers = [['Content-Type', 'application/x-www-form-urlencoded']] as const
  return at('whole', name, path, { method: 'POST', headers, body })
}

const IMAGE = '/images/123456789012.bmp'
const SOAP_BODY =
  '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><GetProduct><Gtin>123456789012</Gtin></GetProduct></s:Body></s:Envelope>'
const SOAP_HEADERS = [
  ['Content-Type', 'text/xml'],
  ['SOAPAction', '"GetProduct"'],
] as const
const CSRF = '0123456789abcdef0123456789abcdef'
const WEBSOCKET = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Version', '13'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
] as const

/** All of them, by family. */
export const ENDPOINTS: readonly Endpoint[] = [
  at('whole', 'lookup', '/stores/3/gtins/123456789012'),
  at('whole', 'lookup of an unknown GTIN', '/stores/3/gtins/999999999993'),
  at('whole', 'lookup without body', '/stores/3/gtins/123456789012', { method: 'HEAD' }),
  at('whole', 'status', '/status'),

  at('interim', 'home', '/'),
  at('whole', 'search', '/search?q=fuzzy+sweater&page=2'),
  at('whole', 'product page', '/products/123456789012'),
  at('whole', 'product page not modified', '/products/123456789012', { headers: [['If-None-Match', '*']] }),
  at('whole', 'store page', '/stores/3'),
  at('whole', 'page not found', '/no/such/page'),

  at('whole', 'login form', '/login'),
  form('login', '/login', `user=al%20ice&pass=x&csrf=${CSRF}`),
  form('login refused', '/login', 'user=alice'),
  at('whole', 'logout', '/logout'),
  at('whole', 'account', '/account', { headers: [['Cookie', 'CATUSER=alice']] }),
  at('whole', 'account without login', '/account'),
  form('order', '/orders', 'gtin=123456789012&qty=2'),
  at('whole', 'order page', '/orders/123456789012-2'),
  at('whole', 'redirect', '/go/home'),

  at('whole', 'style sheet', '/static/catalog.css'),
  at('whole', 'logo', '/static/logo.bmp'),
  at('whole', 'image', IMAGE),
  at('whole', 'image not modified', IMAGE, { headers: [['If-None-Match', '"img-1234567890"']] }),
  at('whole', 'image unmodified since', IMAGE, { headers: [['If-Modified-Since', 'Thu, 01 Jan 2026 00:00:00 GMT']] }),
  at('whole', 'image range', IMAGE, { headers: [['Range', 'bytes=100-199']] }),
  at('whole', 'image suffix range', IMAGE, { headers: [['Range', 'bytes=-50']] }),
  at('whole', 'image ranges', IMAGE, { headers: [['Range', 'bytes=0-9,100-109,-10']] }),
  at('whole', 'image range of this version', IMAGE, {
    headers: [
      ['Range', 'bytes=0-9'],
      ['If-Range', '"img-1234567890"'],
    ],
  }),
  at('whole', 'image range of another version', IMAGE, {
    headers: [
      ['Range', 'bytes=0-9'],
      ['If-Range', '"other"'],
    ],
  }),
  at('whole', 'image range beyond the end', IMAGE, { headers: [['Range', 'bytes=999999-']] }),

  at('stream', 'price report', '/reports/prices.csv?rows=600&pace=5ms'),
  at('stream', 'feed', '/export/gtins?limit=300'),
  at('stream', 'feed zipped', '/export/gtins?limit=300', { headers: [['Accept-Encoding', 'gzip']] }),
  at('stream', 'feed of changes', '/export/gtins?since=2025-12-31&limit=50'),
  at('stream', 'feed with defects', '/export/gtins?limit=2000&defects=on'),
  at('broken', 'feed cut off', '/export/gtins?cut=200'),
  at('whole', 'feed codes', '/export/codes'),

  at('whole', 'upload by PUT', '/uploads/leaflet.txt', { method: 'PUT', body: 'everything must go\n' }),
  at('whole', 'upload by POST', '/uploads', { method: 'POST', body: '\x00\xff binary \r\n' }),
  at('whole', 'upload too large', '/uploads?maxBytes=4', { method: 'POST', body: 'five!' }),

  at('stream', 'events', '/events/prices?every=5ms&count=3'),
  at('stream', 'events resumed', '/events/prices?every=5ms&count=3', { headers: [['Last-Event-ID', '41']] }),
  at('endless', 'events without end', '/events/prices?every=20ms'),
  at('upgrade', 'stock by WebSocket', '/ws/stock?every=20ms', { headers: WEBSOCKET }),
  at('whole', 'WebSocket path without upgrade', '/ws/stock'),

  at('whole', 'SOAP call', '/soap/ProductService', { method: 'POST', headers: SOAP_HEADERS, body: SOAP_BODY }),
  at('whole', 'SOAP fault', '/soap/ProductService', { method: 'POST', headers: SOAP_HEADERS, body: '<x/>' }),
  at('whole', 'WSDL', '/soap/ProductService?wsdl'),
  at('whole', 'PROPFIND', '/leaflets/', { method: 'PROPFIND', headers: [['Depth', '1']] }),
  at('whole', 'leaflet list', '/leaflets/'),
  at('whole', 'leaflet', '/leaflets/week-1.txt'),
  at('whole', 'PURGE', '/cache/products/123456789012', { method: 'PURGE' }),
  at('whole', 'OPTIONS', '/stores/3/gtins/123456789012', { method: 'OPTIONS' }),
  at('whole', 'OPTIONS *', '*', { method: 'OPTIONS' }),
  at('whole', 'method not served', '/search', { method: 'DELETE' }),

  at('whole', 'encoded slash', '/files/a%2Fb%20c'),
  at('whole', 'double slashes', '/files//a///b'),
  at('whole', 'two slashes first', '//files/a'),
  at('whole', 'path parameters', '/files/a;v=1;w/b'),
  at('whole', 'bad escapes', '/files/%zz?q=%zz&&=&'),
  at('whole', 'dot segments', '/files/a/../b/./c'),
  at('whole', 'odd characters', "/files/'%27(a)|{b}^`[c]\"?x='&y=#"),
  at('whole', 'echo', '/echo/any?thing=1', {
    method: 'POST',
    headers: [
      ['x-oDD', 'a'],
      ['X-Odd', 'caf\xe9'],
    ],
    body: 'hi',
  }),

  at('whole', 'Latin-1 field', '/odd/latin1'),
  at('whole', 'odd field names', '/odd/case'),
  at('whole', 'repeated fields', '/odd/duplicates'),
  at('whole', 'unusual reason', '/odd/reason'),
  at('until-close', 'no reason', '/odd/no-reason'),
  at('until-close', 'HTTP/1.0 answer', '/odd/http10'),
  at('until-close', 'no length', '/odd/until-close'),
  at('whole', 'empty fields, empty body', '/odd/empty'),
  at('stream', 'chunks', '/odd/chunks'),
  at('whole', 'status 204', '/odd/status/204'),
  at('whole', 'status 299', '/odd/status/299'),
  at('whole', 'status 599', '/odd/status/599'),

  at('whole', 'failure', '/faults/status/503?delay=10ms'),
  at('interim', 'processing', '/faults/processing?times=3&every=5ms'),
  at('silent', 'hang', '/faults/hang'),
  at('silent', 'hang in mid-body', '/faults/hang-body'),
  at('broken', 'reset', '/faults/reset'),
  at('broken', 'close', '/faults/close'),
  at('broken', 'reset in mid-body', '/faults/reset-body'),
  at('broken', 'close in mid-body, by length', '/faults/close-body?framing=length'),
  at('broken', 'close in mid-body, chunked', '/faults/close-body?framing=chunked'),
  at('broken', 'garbage', '/faults/garbage'),
]
