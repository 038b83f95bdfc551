/**
 * One fetch for all who ask for the same: they stream along, and nobody waits for what can't be shared.
 */
import { describe, expect, test } from 'vitest'
import type { UpstreamRequest } from '../../support/upstream.ts'
import { always, fieldIn, inTurn, reply, startRig, statusOf, until } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'

describe('a herd', () => {
  test('of a thousand misses makes one request', async () => {
    const rig = await startRig({ headers: '60s' })
    const herd = Promise.all(Array.from({ length: 1000 }, () => rig.get('/a')))
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 1000)
    await request.send(reply(200, [FRESH], 'one for all'))
    for (const response of await herd) expect(response).toMatchObject({ status: 200, body: { text: 'one for all' } })
    expect(rig.legacy.requests).toBe(1)
    expect(rig.plane.cache.figures().counters).toMatchObject({ fetches: 1, collapsed: 999, stored: 1 })
  })

  test('of stale answers makes one validation', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, [FRESH, 'ETag: "one"'], 'stored'))
    await rig.get('/a')
    await rig.plane.cache.purge({ what: 'everything' }, true)
    rig.legacy.handler = null
    const herd = Promise.all(Array.from({ length: 50 }, () => rig.get('/a')))
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 50)
    await request.send(reply(304, ['ETag: "one"', FRESH]))
    const responses = await herd
    expect(responses.every(({ body }) => body.text === 'stored')).toBe(true)
    expect(responses.filter((one) => statusOf(one)?.includes('collapsed'))).toHaveLength(49)
    expect(rig.legacy.requests).toBe(2)
  })

  test('streams along: late ones get what has come so far, and then the rest as it comes', async () => {
    const rig = await startRig()
    const first = await rig.begin('/a')
    const request = await rig.legacy.request()
    await request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nContent-Length: 6\r\n\r\nabc`)
    await first.readUntil('abc')
    const late = await rig.begin('/a')
    const head = await late.readUntil('\r\n\r\n')
    expect(head).toContain('Content-Length: 6')
    expect(head).toContain('Age: 0')
    expect(head).toContain(
      'Cache-Status: banyan;fwd=uri-miss;ttl=59;collapsed'.replace('59', head.includes('ttl=60') ? '60' : '59'),
    )
    await late.readUntil('abc')
    await request.send('def')
    await Promise.all([first.readUntil('def'), late.readUntil('def')])
    expect((await rig.get('/a')).body.text).toBe('abcdef')
    expect(rig.legacy.requests).toBe(1)
  })

  test('breaks off together, and the next one asks anew', async () => {
    const rig = await startRig()
    const [one, two] = await Promise.all([rig.begin('/a'), rig.begin('/a')])
    const request = await rig.legacy.request()
    await request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nContent-Length: 6\r\n\r\nabc`)
    await Promise.all([one.readUntil('abc'), two.readUntil('abc')])
    request.connection.reset()
    await Promise.all([one.ended(), two.ended()])
    always(rig.legacy, 200, [FRESH], 'whole')
    expect((await rig.get('/a')).body.text).toBe('whole')
  })

  test('is answered each by its own conditions and method', async () => {
    const rig = await startRig()
    const plain = rig.get('/a')
    const request = await rig.legacy.request()
    const same = rig.get('/a', 'If-None-Match: "one"')
    await until(() => rig.plane.measurements.active === 2)
    await request.send(reply(200, [FRESH, 'ETag: "one"'], 'body'))
    expect((await plain).body.text).toBe('body')
    expect((await same).status).toBe(304)
    expect(rig.legacy.requests).toBe(1)
  })

  test('of conditional requests makes one request, which fills', async () => {
    const rig = await startRig()
    const herd = Array.from({ length: 40 }, (_, i) => rig.get('/a', `If-None-Match: "${i % 2 === 0 ? 'one' : 'old'}"`))
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 40)
    expect(request.field('if-none-match')).toBeUndefined()
    await request.send(reply(200, [FRESH, 'ETag: "one"'], 'body'))
    expect((await Promise.all(herd)).map(({ status, body }) => [status, body.text])).toEqual(
      Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? [304, ''] : [200, 'body'])),
    )
    expect((await rig.get('/a', 'If-None-Match: "old"')).body.text).toBe('body')
    expect(rig.legacy.requests).toBe(1)
  })

  test('of range requests makes one request, and each gets its part as it comes', async () => {
    const rig = await startRig()
    const first = await rig.begin('/a', 'Range: bytes=2-3')
    const request = await rig.legacy.request()
    const wanted = ['bytes=0-1', 'bytes=-2', 'bytes=7-', 'bytes=20-', 'bytes=0-0,4-5', 'bytes=0-0']
    const others = wanted.map((range) => rig.get('/a', `Range: ${range}`, 'If-Range: "one"'))
    const whole = rig.get('/a', 'Range: bytes=0-0', 'If-Range: "other"')
    await until(() => rig.plane.measurements.active === 8)
    expect([request.field('range'), request.field('if-range')]).toEqual([undefined, undefined])
    await request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nETag: "one"\r\nContent-Length: 10\r\n\r\n01234`)
    // Before the rest has come.
    expect(await first.nextResponse()).toMatchObject({ status: 206, body: { text: '23' } })
    expect(await others[0]).toMatchObject({ status: 206, body: { text: '01' } })
    await request.send('56789')
    const got = await Promise.all(others)
    expect(got.map(({ status }) => status)).toEqual([206, 206, 206, 416, 206, 206])
    expect(got.map((one) => fieldIn(one, 'content-range'))).toEqual([
      'bytes 0-1/10',
      'bytes 8-9/10',
      'bytes 7-9/10',
      'bytes */10',
      'bytes 0-5/10',
      'bytes 0-0/10',
    ])
    expect([1, 2, 5].map((i) => got[i]!.body.text)).toEqual(['89', '789', '0'])
    expect(await whole).toMatchObject({ status: 200, body: { text: '0123456789' } })
    expect(rig.legacy.requests).toBe(1)
  })

  test('of range requests for a body of unknown length gets the whole', async () => {
    const rig = await startRig()
    const herd = [rig.get('/a', 'Range: bytes=0-1'), rig.get('/a', 'Range: bytes=2-')]
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 2)
    await request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`)
    expect((await Promise.all(herd)).map(({ status, body }) => [status, body.text])).toEqual([
      [200, 'abc'],
      [200, 'abc'],
    ])
    expect(await rig.get('/a', 'Range: bytes=0-1')).toMatchObject({ status: 206, body: { text: 'ab' } })
    expect(rig.legacy.requests).toBe(1)
  })

  test('in several variants makes one request for each', async () => {
    const rig = await startRig({ headers: '30s' })
    const languages = ['de', 'en', 'fr', 'nl']
    const herd = Array.from({ length: 40 }, (_, i) => rig.get('/a', `Accept-Language: ${languages[i % 4]}`))
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 40)
    const answer = (to: UpstreamRequest) =>
      to.send(reply(200, [FRESH, 'Vary: Accept-Language'], to.field('accept-language')))
    await answer(request)
    const others = [await rig.legacy.request(), await rig.legacy.request(), await rig.legacy.request()]
    for (const other of others) await answer(other)
    const got = (await Promise.all(herd)).map(({ body }) => body.text)
    expect(got).toEqual(Array.from({ length: 40 }, (_, i) => languages[i % 4]))
    expect(rig.legacy.requests).toBe(4)
  })

  test('that joins while a variant is being fetched waits for its own variant', async () => {
    const rig = await startRig()
    const german = await rig.begin('/a', 'Accept-Language: de')
    const first = await rig.legacy.request()
    await first.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nVary: Accept-Language\r\nContent-Length: 9\r\n\r\nguten `)
    await german.readUntil('guten ')
    const dutch = [rig.get('/a', 'Accept-Language: nl'), rig.get('/a', 'Accept-Language: nl')]
    const second = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 3)
    await second.send(reply(200, [FRESH, 'Vary: Accept-Language'], 'goede dag'))
    expect((await Promise.all(dutch)).map(({ body }) => body.text)).toEqual(['goede dag', 'goede dag'])
    await first.send('Tag')
    await german.readUntil('Tag')
    expect(rig.legacy.requests).toBe(2)
  })

  test('with Authorization waits for its like only', async () => {
    const rig = await startRig()
    const plain = rig.get('/a')
    const first = await rig.legacy.request()
    const authorized = [rig.get('/a', 'Authorization: Basic x'), rig.get('/a', 'Authorization: Basic y')]
    const second = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 3)
    await first.send(reply(200, [FRESH], 'plain'))
    await second.send(reply(200, [`${FRESH}, public`], 'for all'))
    expect((await plain).body.text).toBe('plain')
    expect((await Promise.all(authorized)).map(({ body }) => body.text)).toEqual(['for all', 'for all'])
    expect(rig.legacy.requests).toBe(2)
  })
})

describe('what can not be shared', () => {
  test('sends those who waited on their way, and later ones do not wait', async () => {
    const rig = await startRig()
    const herd = Promise.all(Array.from({ length: 5 }, () => rig.get('/a')))
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 5)
    always(rig.legacy, 200, ['Cache-Control: no-store'], 'for one')
    await request.send(reply(200, ['Cache-Control: no-store'], 'for one'))
    await herd
    expect(rig.legacy.requests).toBe(5)
    rig.legacy.handler = null
    // None of these waits for another's answer: all three arrive at the upstream.
    const later = Promise.all([rig.get('/a'), rig.get('/a'), rig.get('/a')])
    const three = [await rig.legacy.request(), await rig.legacy.request(), await rig.legacy.request()]
    for (const one of three) await one.send(reply(200, [FRESH], 'shared'))
    await later
    expect(statusOf(await rig.get('/a'))).toContain('hit')
    expect(rig.plane.cache.figures().counters.hitForMiss).toBe(3)
  })

  test.each([
    ['X-Auth-Token: t', 'Accept: */*'],
    ['Cookie: sid=1', 'Accept: */*'],
    ['X-Auth-Token: t\r\nCookie: sid=1', 'Cookie: consent=1'],
  ])('with somebody who sends %j is shared by those who send %j', async (token, others) => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, ['Cache-Control: private'], 'mine'))
    await rig.get('/a', token)
    rig.legacy.handler = null
    const herd = Promise.all(Array.from({ length: 10 }, () => rig.get('/a', others)))
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 10)
    await request.send(reply(200, [FRESH], 'of all'))
    expect((await herd).map(({ body }) => body.text)).toEqual(Array(10).fill('of all'))
    expect(rig.legacy.requests).toBe(2)
  })

  test('an answer that fails: each tries for itself', async () => {
    const rig = await startRig()
    const herd = Promise.all([rig.get('/a'), rig.get('/a'), rig.get('/a')])
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 3)
    always(rig.legacy, 200, [FRESH], 'well')
    await request.send('HTTP/9.9 what\r\n\r\n')
    expect((await herd).map(({ status }) => status).sort()).toEqual([200, 200, 502])
  })

  test('an error does not end the sharing', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(503, [], 'busy'))
    await rig.get('/a')
    rig.legacy.handler = null
    const herd = Promise.all([rig.get('/a'), rig.get('/a')])
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 2)
    await request.send(reply(200, [FRESH], 'well'))
    await herd
    expect(rig.legacy.requests).toBe(2)
  })

  test('a body that grows too large reaches all who read it, whole', async () => {
    const rig = await startRig({ cache: '{ maxBody: 1KiB }' })
    const herd = [rig.get('/a'), rig.get('/a')]
    const request = await rig.legacy.request()
    await until(() => rig.plane.measurements.active === 2)
    await request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n`)
    for (let i = 0; i < 100; i++) await request.send(`400\r\n${'x'.repeat(1024)}\r\n`)
    await request.send('0\r\n\r\n')
    for (const response of await Promise.all(herd)) expect(response.body.text).toHaveLength(102_400)
    expect(rig.legacy.requests).toBe(1)
    expect(rig.plane.cache.figures().memory.entries).toBe(0)
  })
})

describe('collapse.wait', () => {
  test('over, a request that waits for a response that does not come makes its own', async () => {
    const rig = await startRig({ cache: '{ collapse: { wait: 60ms } }', headers: '30s' })
    const held = await rig.begin('/a')
    const holding = await rig.legacy.request()
    const waiting = rig.get('/a')
    await until(() => rig.plane.measurements.active === 2)
    const own = await rig.legacy.request()
    await own.send(reply(200, ['Cache-Control: no-store'], 'at once'))
    expect((await waiting).body.text).toBe('at once')
    await holding.send(reply(200, [FRESH], 'late'))
    expect((await held.nextResponse()).body.text).toBe('late')
  })

  test('over, what one has stored serves all others that wait', async () => {
    const rig = await startRig({ cache: '{ collapse: { wait: 500ms } }', headers: '30s' })
    const held = await rig.begin('/a')
    await rig.legacy.request()
    const waiting = rig.get('/a')
    const own = await rig.legacy.request()
    const later = [rig.get('/a'), rig.get('/a')]
    await until(() => rig.plane.measurements.active === 4)
    const third = await rig.legacy.request()
    expect(rig.legacy.requests).toBe(3)
    await own.send(reply(200, [FRESH], 'stored'))
    expect((await waiting).body.text).toBe('stored')
    expect((await Promise.all(later)).map(({ body }) => body.text)).toEqual(['stored', 'stored'])
    await third.connection.ended()
    held.reset()
  })

  test('of 0s collapses nothing', async () => {
    const rig = await startRig({ cache: '{ collapse: { wait: 0s } }' })
    const both = [rig.get('/a'), rig.get('/a')]
    const requests = [await rig.legacy.request(), await rig.legacy.request()]
    for (const request of requests) await request.send(reply(200, [FRESH], 'own'))
    await Promise.all(both)
  })
})

describe('a client that leaves', () => {
  test('alone ends the request to the upstream', async () => {
    const rig = await startRig()
    const client = await rig.begin('/a')
    const request = await rig.legacy.request()
    client.reset()
    await request.connection.ended()
    await until(() => rig.plane.measurements.active === 0)
  })

  test('alone in the middle of the body too, and nothing is stored', async () => {
    const rig = await startRig()
    const client = await rig.begin('/a')
    const request = await rig.legacy.request()
    await request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nContent-Length: 6\r\n\r\nabc`)
    await client.readUntil('abc')
    client.reset()
    await request.connection.ended()
    expect(rig.plane.cache.figures().memory.entries).toBe(0)
  })

  test('leaves the others what it has asked for', async () => {
    const rig = await startRig()
    const first = await rig.begin('/a')
    const request = await rig.legacy.request()
    const second = rig.get('/a')
    await until(() => rig.plane.measurements.active === 2)
    first.reset()
    await until(() => rig.plane.measurements.active === 1)
    await request.send(reply(200, [FRESH], 'body'))
    expect((await second).body.text).toBe('body')
    expect(rig.legacy.requests).toBe(1)
  })
})

test('a reader that stalls does not keep the others from what is stored', async () => {
  const rig = await startRig({ cache: '{ maxBody: 8MiB }' })
  const body = 'x'.repeat(6 * 1024 * 1024)
  const stalled = await rig.begin('/a')
  stalled.socket.pause()
  const request = await rig.legacy.request()
  const reading = rig.get('/a')
  await until(() => rig.plane.measurements.active === 2)
  void request.send(`HTTP/1.1 200 OK\r\n${FRESH}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  expect((await reading).body.text).toHaveLength(body.length)
  stalled.socket.resume()
  expect((await stalled.nextResponse()).body.text).toHaveLength(body.length)
  expect(fieldIn(await rig.get('/a'), 'content-length')).toBe(String(body.length))
  expect(rig.legacy.requests).toBe(1)
})
