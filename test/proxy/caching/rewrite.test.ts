/**
 * The cache of a route that rewrites: keyed by what the client asks and what is sent, and each client gets its own fields.
 */
import { expect, test } from 'vitest'
import { startRig } from './rig.ts'

const route = (more: string, cache = '{}'): string[] => [
  '- id: lookup',
  '  match: { path: "/stores/:storeId/gtins/:gtin" }',
  '  to: modern',
  '  percent: 100',
  `  cache: ${cache}`,
  ...more.split('\n').map((line) => `  ${line}`),
]
const FRESH = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n'

test('two clients’ paths that become one are stored apart, since answers speak of the client’s', async () => {
  const rig = await startRig({ routes: route('rewrite: { path: "/v2/:gtin" }') })
  for (const store of ['1', '2']) {
    const answer = rig.get(`/stores/${store}/gtins/7`)
    const request = await rig.modern.request()
    expect(request.head).toContain('GET /v2/7 HTTP/1.1')
    await request.send(`${FRESH}Link: </v2/8>; rel=next\r\n\r\nok`)
    expect((await answer).head).toContain(`Link: </stores/${store}/gtins/8>; rel=next`)
  }
  for (const store of ['1', '2']) {
    const hit = await rig.get(`/stores/${store}/gtins/7`)
    expect(hit.head).toContain(`Link: </stores/${store}/gtins/8>; rel=next`)
    expect(hit.head).toContain(';hit')
  }
})

test('interim answers speak of the client’s paths', async () => {
  const rig = await startRig({ routes: route('rewrite: { path: "/v2/:gtin" }') })
  const answer = rig.get('/stores/1/gtins/7')
  const hint = 'HTTP/1.1 103 Early Hints\r\nLink: </v2/8>; rel=preload\r\n\r\n'
  await (await rig.modern.request()).send(`${hint}${FRESH}\r\nok`)
  expect((await answer).interim[0]).toContain('Link: </stores/1/gtins/8>; rel=preload')
})

test('what a placeholder brings into the query is part of the key', async () => {
  const rig = await startRig({ trusted: true, routes: route('rewrite: { query: { set: { ip: "{client.ip}" } } }') })
  const ask = async (address: string) => {
    const answer = rig.get('/stores/1/gtins/7', `X-Forwarded-For: ${address}`)
    const request = await rig.modern.request()
    await request.send(`${FRESH}\r\nok`)
    await answer
    return request.head.split(' ')[1]
  }
  expect(await ask('192.0.2.1')).toBe('/stores/1/gtins/7?ip=192.0.2.1')
  expect(await ask('192.0.2.2')).toBe('/stores/1/gtins/7?ip=192.0.2.2')
  expect((await rig.get('/stores/1/gtins/7', 'X-Forwarded-For: 192.0.2.1')).head).toContain(';hit')
})

test('what is set in answers is each client’s own, on hits too, and decides nothing about storing', async () => {
  const rig = await startRig({
    routes: route('answer: { headers: { set: { cache-control: no-store, x-host: "{host}" }, remove: [x-inner] } }'),
  })
  const answer = rig.get('/stores/1/gtins/7', 'Host: shop.test')
  await (await rig.modern.request()).send(`${FRESH}X-Inner: 1\r\n\r\nok`)
  expect((await answer).head).toContain('cache-control: no-store\r\nx-host: shop.test\r\n')
  const again = await rig.get('/stores/1/gtins/7', 'Host: shop.test')
  expect(again.head).toContain(';hit')
  expect(again.head).toContain('cache-control: no-store\r\nx-host: shop.test\r\n')
  expect(again.head).not.toMatch(/max-age|x-inner/i)
})

test('Vary and key headers see what is sent', async () => {
  const more = 'rewrite: { headers: { set: { x-tenant: "{param.storeId}" }, remove: [accept-language] } }'
  const rig = await startRig({ routes: route(more, '{ key: { headers: [x-tenant] } }') })
  const answer = rig.get('/stores/1/gtins/7', 'X-Tenant: evil', 'Accept-Language: de')
  const request = await rig.modern.request()
  expect(request.field('x-tenant')).toBe('1')
  expect(request.field('accept-language')).toBeUndefined()
  await request.send(`${FRESH}Vary: Accept-Language, X-Tenant\r\n\r\nok`)
  await answer
  expect((await rig.get('/stores/1/gtins/7', 'X-Tenant: other', 'Accept-Language: fr')).head).toContain(';hit')
})

test('an edit of the rewrite, or of the upstream’s headers, discards what was stored', async () => {
  const more = (path: string) => ({ routes: route(`rewrite: { path: "${path}" }`) })
  const rig = await startRig(more('/v2/:gtin'))
  const answer = rig.get('/stores/1/gtins/7')
  await (await rig.modern.request()).send(`${FRESH}\r\nok`)
  await answer
  rig.apply(more('/v3/:gtin'))
  const next = rig.get('/stores/1/gtins/7')
  const request = await rig.modern.request()
  expect(request.head).toContain('GET /v3/7 HTTP/1.1')
  await request.send(`${FRESH}\r\nok`)
  expect((await next).head).not.toContain(';hit')
})

test('explain finds what is stored, and tells what would be sent', async () => {
  const more = 'rewrite: { path: "/v2/:gtin", query: { set: { store: "{param.storeId}" } } }'
  const rig = await startRig({ routes: route(more) })
  const answer = rig.get('/stores/1/gtins/7')
  await (await rig.modern.request()).send(`${FRESH}\r\nok`)
  await answer
  const asked = {
    method: 'GET',
    host: 'shop.test',
    rawHeaders: ['Host', 'shop.test'],
    clientAddress: '127.0.0.1',
    chance: 0,
  }
  const told = await rig.plane.port.explain({ ...asked, target: '/stores/1/gtins/7' })
  expect(told.cache).toMatchObject({ verdict: 'fresh', stored: { where: 'memory' } })
  expect(told.sent.map(({ target }) => target)).toEqual(['/stores/1/gtins/7', '/v2/7?store=1'])
  const other = await rig.plane.port.explain({ ...asked, target: '/stores/2/gtins/7' })
  expect(other.cache).toMatchObject({ verdict: 'miss' })
})
