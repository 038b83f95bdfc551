/**
 * Lookup, pages, forms, assets, SOAP and WebDAV: what a client of the application sees.
 */
import { describe, expect, test } from 'vitest'
import { productOf } from '../../legacy-mock/catalog.ts'
import { answerOf as valuesOf } from '../../legacy-mock/lookup.ts'
import { ask, field, get, serve } from './raw.ts'

describe('lookup', () => {
  test('answers the values of the product, its own time and a session cookie', async () => {
    const { port } = await serve({ name: 'cat7' })
    const product = productOf(17_999_999)
    const answer = await ask(port, get(`/stores/9/gtins/${product.gtin}`))
    expect(answer.statusLine).toBe('HTTP/1.1 200 OK')
    expect(JSON.parse(answer.body)).toEqual({
      host: 'cat7',
      ...valuesOf(product, '9'),
      generatedAt: '2026-11-23 12:00:00.000',
    })
    expect(field(answer, 'Server')).toBe('CatalogEnterprise/7.2')
    expect(field(answer, 'Set-Cookie')).toMatch(/^JSESSIONID=[0-9A-F]{32}\.cat7; Path=\/; HttpOnly$/)
  })

  test.each(['999999999993', '123456789013', '0123456789012', '1234-5678-9012', 'abc'])(
    'does not find %s',
    async (gtin) => {
      const { port } = await serve()
      const answer = await ask(port, get(`/stores/3/gtins/${gtin}`))
      expect(answer.statusLine).toBe('HTTP/1.1 404 Gtin Not On File')
      expect(JSON.parse(answer.body)).toMatchObject({ errorCode: 'CE-1404', gtin })
      expect(field(answer, 'Set-Cookie')).toContain('JSESSIONID=')
    },
  )

  test('a running clock gives each answer a session of its own', async () => {
    const { port } = await serve({ freezeMs: null })
    const cookies = await Promise.all(
      [1, 2].map(async () => field(await ask(port, get('/stores/3/gtins/123456789012')), 'Set-Cookie')),
    )
    expect(cookies[0]).not.toBe(cookies[1])
  })
})

describe('pages', () => {
  test('home gives early hints to HTTP/1.1 clients only', async () => {
    const { port } = await serve()
    const answer = await ask(port, get('/'))
    expect(answer.interim).toEqual([
      'HTTP/1.1 103 Early Hints\r\nLink: </static/catalog.css>; rel=preload; as=style, </static/logo.bmp>; rel=preload; as=image',
    ])
    expect(answer.body).toContain('Z\xfcrich')
    expect((await ask(port, 'GET / HTTP/1.0\r\n\r\n')).interim).toEqual([])
  })

  test('search finds by words, GTIN and SKU, page by page, and escapes what was asked', async () => {
    const { port } = await serve()
    const search = async (query: string) => (await ask(port, get(`/search?${query}`))).body
    expect(await search('q=123456789012')).toContain('A warm fuzzy sweater.')
    expect(await search('q=1234567890')).toContain('/products/123456789012')
    expect((await search('q=silk')).match(/\/products\//g)).toHaveLength(20)
    expect(await search('q=silk&page=2')).not.toBe(await search('q=silk'))
    expect(await search('q=nothing+has+this')).not.toContain('/products/')
    expect(await search('q=<script>')).toContain('&lt;script&gt;')
  })

  test('a product page is not sent again to one who has it', async () => {
    const { port } = await serve()
    const { fields } = await ask(port, get('/products/123456789012'))
    const [, etag = ''] = fields.find(([name]) => name === 'ETag') ?? []
    const [, modified = ''] = fields.find(([name]) => name === 'Last-Modified') ?? []
    const status = async (...lines: string[]) => (await ask(port, get('/products/123456789012', ...lines))).status
    expect(etag).toMatch(/^W\/"/)
    expect(await status(`If-None-Match: "x", ${etag}`)).toBe(304)
    expect(await status('If-None-Match: "x"')).toBe(200)
    expect(await status(`If-Modified-Since: ${modified}`)).toBe(304)
    expect(await status(`If-Modified-Since: ${modified}`, 'If-None-Match: "x"')).toBe(200)
    expect(await status('If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT')).toBe(200)
  })

  test('unknown paths and methods get the application’s own error pages', async () => {
    const { port } = await serve()
    const missing = await ask(port, get('/nowhere'))
    expect([missing.status, field(missing, 'X-CE-Error')]).toEqual([404, 'CE-4040'])
    const wrong = await ask(port, 'DELETE /login HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect([wrong.status, field(wrong, 'Allow')]).toEqual([405, 'GET, POST, HEAD, OPTIONS'])
  })
})

const FORM = 'Content-Type: application/x-www-form-urlencoded'

function post(target: string, body: string, ...lines: string[]): string {
  const head = [
    `POST ${target} HTTP/1.1`,
    'Host: shop.test:8080',
    'Connection: close',
    `Content-Length: ${body.length}`,
  ]
  return `${[...head, ...lines].join('\r\n')}\r\n\r\n${body}`
}

describe('forms', () => {
  test('login sets its odd cookies and goes to the account by an absolute URL of its own host', async () => {
    const { port } = await serve()
    const csrf = /name="csrf" value="(\w+)"/.exec((await ask(port, get('/login'))).body)?.[1]
    const answer = await ask(port, post('/login', `user=al%20ice&pass=x&csrf=${csrf}`, FORM))
    expect(answer.status).toBe(302)
    expect(field(answer, 'Location')).toBe('http://shop.test:8080/account')
    const cookies = answer.fields.filter(([name]) => name.toLowerCase() === 'set-cookie')
    expect(cookies.map(([name]) => name)).toEqual([
      'Set-Cookie',
      'Set-Cookie',
      'set-cookie',
      'Set-Cookie',
      'SET-COOKIE',
    ])
    expect(cookies[1]?.[1]).toBe('CATUSER=al%20ice; Expires=Tue, 23-Nov-2027 12:00:00 GMT; PATH=/; DOMAIN=shop.test')
    expect((await ask(port, get('/account', 'Cookie: CATUSER=al%20ice'))).body).toContain('Hello al%20ice')
    expect(field(await ask(port, get('/account')), 'Location')).toBe('http://shop.test/login')
  })

  test('a declared origin goes into absolute URLs', async () => {
    const { port } = await serve({ origin: 'https://old.example.test' })
    expect(field(await ask(port, get('/go/home')), 'Location')).toBe('https://old.example.test/?from=go')
  })

  test('an order leads to its page; half a form is refused', async () => {
    const { port } = await serve()
    const answer = await ask(port, post('/orders', 'gtin=123456789012&qty=2', FORM))
    expect(field(answer, 'Location')).toBe('http://shop.test:8080/orders/123456789012-2')
    expect((await ask(port, post('/orders', 'gtin=123456789012', FORM))).status).toBe(400)
    expect((await ask(port, post('/orders', 'gtin=123456789012&qty=2'))).status).toBe(415)
    expect((await ask(port, post('/login', 'user=a&pass=b', FORM))).status).toBe(403)
  })
})

describe('what is kept while the clock runs', () => {
  test('the same order again is another one, so that a replayed POST shows', async () => {
    const { port } = await serve({ freezeMs: null })
    const placed = async () => field(await ask(port, post('/orders', 'gtin=123456789012&qty=2', FORM)), 'Location')
    expect(await placed()).toBe('http://shop.test:8080/orders/123456789012-2')
    expect(await placed()).toBe('http://shop.test:8080/orders/123456789012-2-2')
    expect((await ask(port, get('/orders/123456789012-2-2'))).status).toBe(200)
    expect((await ask(port, get('/orders'))).body).toContain('<tr><td>123456789012-2</td><td>2</td></tr>')
  })

  test('a client that brings its session keeps it, until it signs out; one that is not known gets another', async () => {
    const { port } = await serve({ freezeMs: null })
    const setBy = async (...fields: string[]) => {
      const answer = await ask(port, get('/stores/3/gtins/123456789012', ...fields))
      return answer.fields.filter(([name]) => name === 'Set-Cookie').map(([, value]) => value.split(';')[0] as string)
    }
    const [mine] = await setBy()
    expect(await setBy(`Cookie: a=b; ${mine}`)).toEqual([])
    expect(await setBy('Cookie: JSESSIONID=unknown')).toHaveLength(1)
    await ask(port, get('/logout', `Cookie: ${mine}`))
    expect(await setBy(`Cookie: ${mine}`)).toHaveLength(1)
  })
})

describe('images', () => {
  const image = '/images/123456789012.bmp'

  test('the bar code is a bitmap, and parts of it are its bytes', async () => {
    const { port } = await serve()
    const { body } = await ask(port, get(image))
    expect(body.startsWith('BM')).toBe(true)
    expect(Buffer.from(body, 'latin1').readUInt32LE(2)).toBe(body.length)
    const part = async (...lines: string[]) => {
      const answer = await ask(port, get(image, ...lines))
      return [answer.status, field(answer, 'Content-Range'), answer.body]
    }
    const size = body.length
    expect(await part('Range: bytes=100-199')).toEqual([206, `bytes 100-199/${size}`, body.slice(100, 200)])
    expect(await part('Range: bytes=22000-')).toEqual([206, `bytes 22000-${size - 1}/${size}`, body.slice(22_000)])
    expect(await part('Range: bytes=-50')).toEqual([206, `bytes ${size - 50}-${size - 1}/${size}`, body.slice(-50)])
    expect(await part(`Range: bytes=${size}-`)).toEqual([416, `bytes */${size}`, ''])
    expect(await part('Range: bytes=5-1')).toEqual([200, undefined, body])
    expect(await part('Range: lines=1-2')).toEqual([200, undefined, body])
    expect(await part('Range: bytes=0-9', 'If-Range: "img-1234567890"')).toEqual([
      206,
      `bytes 0-9/${size}`,
      body.slice(0, 10),
    ])
    expect(await part('Range: bytes=0-9', 'If-Range: "other"')).toEqual([200, undefined, body])
  })

  test('several parts come as multipart/byteranges', async () => {
    const { port } = await serve()
    const whole = (await ask(port, get(image))).body
    const answer = await ask(port, get(image, 'Range: bytes=0-9,100-109'))
    const boundary = /boundary=(\S+)/.exec(field(answer, 'Content-Type') ?? '')?.[1]
    const part = (from: number) =>
      `\r\n--${boundary}\r\nContent-Type: image/bmp\r\nContent-Range: bytes ${from}-${from + 9}/${whole.length}\r\n\r\n${whole.slice(from, from + 10)}`
    expect(answer.status).toBe(206)
    expect(answer.body).toBe(`${part(0)}${part(100)}\r\n--${boundary}--\r\n`)
  })

  test('there is none of an unknown product', async () => {
    const { port } = await serve()
    expect((await ask(port, get('/images/999999999993.bmp'))).status).toBe(404)
  })
})

describe('machines', () => {
  const soap = async (port: number, xml: string) =>
    ask(port, post('/soap/ProductService', xml, 'Content-Type: text/xml'))

  test('SOAP answers a product, and a fault as 500', async () => {
    const { port } = await serve()
    const found = await soap(port, '<e><b:Gtin> 123456789012 </b:Gtin></e>')
    expect([found.status, found.body.includes('<p:Price store="3" regular="120.00" special="15.00"/>')]).toEqual([
      200,
      true,
    ])
    const unknown = await soap(port, '<Gtin>1</Gtin>')
    expect([unknown.status, unknown.body.includes('GTIN NOT ON FILE')]).toEqual([500, true])
  })

  test('PROPFIND goes as deep as it is told', async () => {
    const { port } = await serve()
    const hrefs = async (target: string, depth: string) => {
      const line = `PROPFIND ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nDepth: ${depth}\r\n\r\n`
      const { status, body } = await ask(port, line)
      return [status, body.match(/<D:href>/g)?.length]
    }
    expect(await hrefs('/leaflets/', '1')).toEqual([207, 6])
    expect(await hrefs('/leaflets/', '0')).toEqual([207, 1])
    expect(await hrefs('/leaflets/week-2.txt', '1')).toEqual([207, 1])
    expect(await hrefs('/leaflets/none.txt', '1')).toEqual([404, undefined])
    expect(await hrefs('/leaflets/', '7')).toEqual([400, undefined])
  })
})
