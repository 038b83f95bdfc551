/**
 * Bodies in motion: report, events, uploads, echo, expectations, and request targets told back.
 */
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { money, productOf } from '../../legacy-mock/catalog.ts'
import { answerOf, ask, field, get, serve, wire } from './raw.ts'

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('price report', () => {
  test('has the rows asked for, and its checksum in the announced trailer', async () => {
    const { port } = await serve()
    const answer = await ask(port, get('/reports/prices.csv?rows=601&pace=1ms'))
    const rows = gunzipSync(bytes(answer.body)).toString('latin1').split('\r\n')
    expect(rows).toHaveLength(601 + 2)
    const { gtin, sku, originalCents } = productOf(600)
    expect(rows[601]?.startsWith(`${gtin};${sku};`)).toBe(true)
    expect(rows[601]).toContain(`;${money(originalCents)};`)
    expect(field(answer, 'Trailer')).toBe('Content-MD5, X-Row-Count')
    expect(answer.trailers).toEqual([
      ['Content-MD5', createHash('md5').update(bytes(answer.body)).digest('base64')],
      ['X-Row-Count', '601'],
    ])
  })

  test('a quote in a cell is doubled', async () => {
    const { port } = await serve()
    const answer = await ask(port, get('/reports/prices.csv?rows=1000'))
    expect(gunzipSync(bytes(answer.body)).toString()).toContain(';"HIGH HEEL (3""+)";')
  })

  test.each(['rows=x', 'rows=18000001', 'rows=-1', 'pace=soon'])('refuses %s', async (query) => {
    const { port } = await serve()
    expect((await ask(port, get(`/reports/prices.csv?${query}`))).status).toBe(400)
  })

  test('a client that leaves ends it', async () => {
    const legacy = await serve({ drainMs: 60_000 })
    const { socket, until } = wire(legacy.port, get('/reports/prices.csv?rows=18000000'))
    await until(/\r\n\r\n/)
    socket.destroy()
    await legacy.close()
  })
})

describe('events', () => {
  test('go on where the client left off', async () => {
    const { port } = await serve()
    const first = await ask(port, get('/events/prices?every=1ms&count=5'))
    const later = await ask(port, get('/events/prices?every=1ms&count=2', 'Last-Event-ID: 3'))
    const events = (body: string) => body.split('\n\n').slice(1, -1)
    expect(events(first.body)).toHaveLength(5)
    expect(events(later.body)).toEqual(events(first.body).slice(3))
    expect(events(first.body)[0]).toMatch(/^id: 1\nevent: price\ndata: \{"gtin":"\d{12}"/)
  })

  test('end whole when the application shuts down', async () => {
    const legacy = await serve({ drainMs: 60_000 })
    const { until, end } = wire(legacy.port, get('/events/prices?every=1h'))
    await until(/id: 1\n/)
    await legacy.close()
    expect(answerOf(await end()).complete).toBe(true)
  })
})

function put(target: string, body: string, ...lines: string[]): string {
  const head = [`PUT ${target} HTTP/1.1`, 'Host: shop.test', 'Connection: close', ...lines]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

describe('uploads', () => {
  test('any bytes come back as their size and SHA-256', async () => {
    const { port } = await serve()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5_000 }), async (content) => {
        const body = Buffer.from(content).toString('latin1')
        const answer = await ask(port, put('/uploads/a%20b', body, `Content-Length: ${body.length}`))
        const sha256 = createHash('sha256').update(content).digest('hex')
        expect(JSON.parse(answer.body)).toEqual({ name: 'a b', bytes: content.length, sha256 })
        expect(field(answer, 'Location')).toBe('http://shop.test/uploads/a%20b')
      }),
      { numRuns: 20 },
    )
  })

  test('one that is too long is refused while it runs', async () => {
    const { port } = await serve()
    const { socket, until } = wire(port, put('/uploads/x?maxBytes=4', '5\r\nhello\r\n', 'Transfer-Encoding: chunked'))
    expect(answerOf(await until(/<\/html>/)).status).toBe(413)
    socket.end()
  })

  test('100 Continue comes where the body is wanted, and not before a refusal', async () => {
    const { port } = await serve()
    const expecting = ['Content-Length: 5', 'Expect: 100-continue']
    const { socket, until, end } = wire(port, put('/uploads/x', '', ...expecting))
    expect(await until(/\r\n\r\n/)).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    socket.write('hello')
    expect(answerOf(await end())).toMatchObject({ interim: ['HTTP/1.1 100 Continue'], status: 201 })
    const refused = await ask(port, put('/uploads/x?maxBytes=4', '', ...expecting))
    expect([refused.status, refused.interim]).toEqual([413, []])
  })
})

describe('echo', () => {
  test('tells the request as it came: target, field order and case, body, trailers', async () => {
    const { port } = await serve()
    const lines = [
      'Host: h',
      'x-b: 1',
      'X-A: caf\xe9',
      'X-B:  2 ',
      'Connection: close',
      'Trailer: X-Sum',
      'Transfer-Encoding: chunked',
    ]
    const request = `PURGE /echo/%41?a=%zz HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n`
    const answer = await ask(port, request)
    expect(JSON.parse(Buffer.from(answer.body, 'latin1').toString())).toEqual({
      method: 'PURGE',
      target: '/echo/%41?a=%zz',
      httpVersion: '1.1',
      rawHeaders: [
        ['Host', 'h'],
        ['x-b', '1'],
        ['X-A', 'caf\xe9'],
        ['X-B', '2'],
        ['Connection', 'close'],
        ['Trailer', 'X-Sum'],
        ['Transfer-Encoding', 'chunked'],
      ],
      bodyBytes: 3,
      bodySha256: createHash('sha256').update('abc').digest('hex'),
      rawTrailers: [['X-Sum', '6']],
    })
  })

  test('shows all of 3,000 fields', async () => {
    const { port } = await serve()
    const lines = Array.from({ length: 3_000 }, (_, at) => `a${at}: b`)
    expect(JSON.parse((await ask(port, get('/echo', ...lines))).body).rawHeaders).toHaveLength(3_002)
  })

  test.each(['/files/a%2Fb', '//files//x/', '/files/a;p=1/../b', '/files/%zz?q=%zz&&', 'http://shop.test/files/a?b'])(
    'tells the target %s back',
    async (target) => {
      const { port } = await serve()
      expect((await ask(port, get(target))).body).toBe(`${target}\n`)
    },
  )
})
