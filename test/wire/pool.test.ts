/**
 * Connections to one server and their pool, over real sockets: reuse, limits, poison, deadlines, close.
 */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { coarseNowMs } from '../../src/wire/deadlines.ts'
import { ask, exchange, poolFor, Recording, setUpPools } from './peer.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const setUp = setUpPools()

describe('reuse', () => {
  test('one exchange after the other goes over one connection', async () => {
    const { peer, pool } = await setUp()
    for (let i = 0; i < 3; i++) expect((await exchange(pool)).body).toBe('ok')
    expect(peer.connections).toHaveLength(1)
    expect([pool.connects, pool.reuses, pool.open, pool.idle, pool.active]).toEqual([1, 2, 1, 1, 0])
  })

  test('exchanges at the same time have a connection each', async () => {
    const { peer, pool } = await setUp()
    const both = [ask(pool), ask(pool)]
    expect(pool.active).toBe(2)
    await Promise.all(both.map((one) => one.over))
    expect(peer.connections).toHaveLength(2)
    expect(both.map((one) => one.connection?.reused)).toEqual([false, false])
  })

  test('the connection that was used last is taken first', async () => {
    const { pool } = await setUp()
    const first = ask(pool)
    const second = ask(pool)
    await Promise.all([first.over, second.over])
    const again = ask(pool, {})
    await again.over
    const last = await exchange(pool)
    expect(last.connection).toBe(again.connection)
    expect(pool.idle).toBe(2)
  })

  test('a fresh one is made where that is asked for, though another is idle', async () => {
    const { peer, pool } = await setUp()
    await exchange(pool)
    const fresh = await exchange(pool, { mostIdleMs: 0 })
    expect(fresh.connection?.reused).toBe(false)
    expect(peer.connections).toHaveLength(2)
  })

  test('one that has been idle for too long for this exchange is left to others', async () => {
    const { peer, pool } = await setUp()
    await exchange(pool)
    const before = coarseNowMs()
    while (coarseNowMs() === before) await setImmediate()
    expect((await exchange(pool, { mostIdleMs: 1 })).connection?.reused).toBe(false)
    expect(peer.connections).toHaveLength(2)
    expect(pool.idle).toBe(2)
    expect((await exchange(pool, { mostIdleMs: 10_000 })).connection?.reused).toBe(true)
  })

  test('no more than maxIdle are kept', async () => {
    const { peer, pool } = await setUp({ maxIdle: 2 })
    const all = [1, 2, 3, 4].map(() => ask(pool))
    await Promise.all(all.map((one) => one.over))
    expect(peer.connections).toHaveLength(4)
    await Promise.race(peer.connections.map((side) => side.closed))
    expect([pool.idle, pool.open]).toEqual([2, 2])
  })
})

describe('what ends a connection', () => {
  test.each([
    ['Connection: close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['HTTP/1.0 without keep-alive', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['Keep-Alive: timeout=0', 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok'],
    ['a hint below the margin', 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=9\r\nContent-Length: 2\r\n\r\nok'],
    ['a byte beyond the answer', `${OK}X`],
    ['a second answer', `${OK}${OK}`],
  ])('%s', async (_, answer) => {
    const { peer, pool } = await setUp()
    peer.answer = (side, number) => side.socket.write(number === 0 ? answer : OK)
    expect(await exchange(pool)).toMatchObject({ status: 200, body: 'ok', failure: null, ends: 1 })
    expect(pool.idle).toBe(0)
    await peer.connections[0]?.closed
    expect((await exchange(pool)).body).toBe('ok')
    expect(peer.connections).toHaveLength(2)
  })

  test('HTTP/1.0 with keep-alive does not', async () => {
    const { peer, pool } = await setUp()
    peer.answer = (side) =>
      side.socket.write('HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok')
    await exchange(pool)
    await exchange(pool)
    expect(peer.connections).toHaveLength(1)
  })

  test('a byte that comes while it is idle', async () => {
    const { peer, pool } = await setUp()
    await exchange(pool)
    const [side] = peer.connections
    side?.socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n')
    await side?.closed
    expect([pool.idle, pool.open]).toEqual([0, 0])
    expect((await exchange(pool)).status).toBe(200)
  })

  test('the server, by closing while it is idle', async () => {
    const { peer, pool } = await setUp()
    await exchange(pool)
    const [side] = peer.connections
    side?.socket.end()
    await side?.closed
    expect([pool.idle, pool.open]).toEqual([0, 0])
  })

  test('an answer before the request is complete', async () => {
    const { peer, pool } = await setUp()
    const early = new Recording()
    early.connection = pool.take(early, Number.POSITIVE_INFINITY)
    early.connection.send('POST / HTTP/1.1\r\nHost: x.test\r\nContent-Length: 9\r\n\r\n', 'POST', false)
    await early.over
    expect(early).toMatchObject({ status: 200, body: 'ok', failure: null })
    await peer.connections[0]?.closed
    expect(pool.idle).toBe(0)
  })

  test('its age', async () => {
    const { peer, pool } = await setUp({ keepAliveMs: 60 })
    await exchange(pool)
    expect(pool.idle).toBe(1)
    await peer.connections[0]?.closed
    expect([pool.idle, pool.open]).toEqual([0, 0])
  })
})

describe('close', () => {
  test('closes what is idle, and lets what runs finish', async () => {
    const { peer, pool } = await setUp()
    const idle = ask(pool)
    let finish = (): void => {}
    peer.answer = (side, number) => {
      if (number === 0) side.socket.write(OK)
      else {
        side.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
        finish = () => void side.socket.write('lf')
      }
    }
    const running = ask(pool)
    const head = new Promise<void>((resolve) => {
      running.onHeadDo = resolve
    })
    await Promise.all([idle.over, head])
    pool.close()
    await peer.connections[0]?.closed
    expect([pool.idle, pool.open, pool.active]).toEqual([0, 1, 1])
    finish()
    await running.over
    expect(running.body).toBe('half')
    await peer.connections[1]?.closed
    expect([pool.open, pool.active]).toEqual([0, 0])
  })
})

describe('where an attempt breaks, and when', () => {
  test('connect: nobody listens', async () => {
    const { peer, pool } = await setUp()
    await peer.close()
    const seen = await exchange(pool)
    expect(seen).toMatchObject({ failure: 'connect', ends: 1 })
    expect((seen.cause as NodeJS.ErrnoException).code).toBe('ECONNREFUSED')
    expect(pool.open).toBe(0)
  })

  test('connect-timeout: no handshake', async () => {
    const { pool } = await setUp()
    // A TCP server that never speaks: to a TLS client the connection does not come about.
    const tls = poolFor(pool.settings.port, { tls: {}, connectTimeoutMs: 80 })
    expect(await exchange(tls)).toMatchObject({ failure: 'connect-timeout', ends: 1 })
    expect([tls.open, tls.active]).toEqual([0, 0])
  })

  test('headers-timeout: no answer', async () => {
    const { peer, pool } = await setUp({ headersTimeoutMs: 80 })
    peer.answer = () => {}
    expect(await exchange(pool)).toMatchObject({ failure: 'headers-timeout', ends: 1 })
    await peer.connections[0]?.closed
  })

  test('headers-timeout: a head that comes byte by byte gets no more time', async () => {
    const { peer, pool } = await setUp({ headersTimeoutMs: 200 })
    peer.answer = (side) => {
      side.socket.write('HTTP/1.1 200 OK\r\nX: ')
      const drip = setInterval(() => side.socket.write('a'), 20)
      side.socket.once('close', () => clearInterval(drip))
    }
    expect(await exchange(pool)).toMatchObject({ failure: 'headers-timeout', ends: 1 })
  })

  test('an interim answer begins the time anew', async () => {
    const { peer, pool } = await setUp({ headersTimeoutMs: 1500 })
    peer.answer = (side) => {
      let left = 6
      const work = setInterval(() => {
        if (--left > 0) side.socket.write('HTTP/1.1 102 Processing\r\n\r\n')
        else side.socket.write(OK)
        if (left === 0) clearInterval(work)
      }, 300)
    }
    expect(await exchange(pool)).toMatchObject({ failure: null, interim: [102, 102, 102, 102, 102], status: 200 })
  })

  test('idle-timeout: the body stops', async () => {
    const { peer, pool } = await setUp({ idleTimeoutMs: 500 })
    peer.answer = (side) => side.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe')
    expect(await exchange(pool)).toMatchObject({ status: 200, body: 'he', failure: 'idle-timeout', ends: 1 })
  })

  test('idle-timeout: the request stops', async () => {
    const { pool } = await setUp({ idleTimeoutMs: 80 })
    const seen = new Recording()
    seen.connection = pool.take(seen, Number.POSITIVE_INFINITY)
    seen.connection.send('POST / HTTP/1.1\r\nHost: x.test\r\nContent-Length: 5\r\n', 'POST', false)
    await seen.over
    expect(seen).toMatchObject({ failure: 'idle-timeout', ends: 1 })
  })

  test('response-head: the server closes, or resets', async () => {
    const { peer, pool } = await setUp()
    peer.answer = (side) => side.socket.end()
    expect(await exchange(pool)).toMatchObject({ failure: 'response-head', ends: 1 })
    peer.answer = (side) => side.socket.resetAndDestroy()
    const reset = await exchange(pool)
    expect(reset).toMatchObject({ failure: 'response-head', ends: 1 })
    expect((reset.cause as NodeJS.ErrnoException).code).toBe('ECONNRESET')
  })

  test('response-head on a connection that was kept: reused, and nothing answered', async () => {
    const { peer, pool } = await setUp()
    let asked = 0
    peer.answer = (side) => {
      if (++asked === 1) side.socket.write(OK)
      else side.socket.destroy()
    }
    await exchange(pool)
    const seen = await exchange(pool)
    expect(seen.failure).toBe('response-head')
    expect([seen.connection?.reused, seen.connection?.answered]).toEqual([true, false])
  })

  test('response-body: the answer is cut off', async () => {
    const { peer, pool } = await setUp()
    peer.answer = (side) => side.socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')
    expect(await exchange(pool)).toMatchObject({ body: 'ok', failure: 'response-body', ends: 1 })
  })

  test('response-malformed: the head is no head', async () => {
    const { peer, pool } = await setUp()
    peer.answer = (side) => side.socket.write('SSH-2.0-OpenSSH_9.2\r\n')
    expect(await exchange(pool)).toMatchObject({ status: 0, failure: 'response-malformed', ends: 1 })
    await peer.connections[0]?.closed
  })

  test('an abort is silent, and closes the connection', async () => {
    const { peer, pool } = await setUp()
    const asked = new Promise<void>((resolve) => {
      peer.answer = () => resolve()
    })
    const seen = ask(pool)
    await asked
    seen.connection?.abort()
    await peer.connections[0]?.closed
    expect(seen.ends).toBe(0)
    expect([pool.open, pool.active]).toEqual([0, 0])
  })

  test.each([
    ['an interim head', 'onInformationDo', 0],
    ['the head', 'onHeadDo', 200],
  ] as const)('an abort from within %s hears nothing of what came with it', async (_, hook, status) => {
    const { peer, pool } = await setUp()
    peer.answer = (side) => side.socket.write(`HTTP/1.1 103 Early Hints\r\n\r\n${OK}`)
    const seen = ask(pool)
    seen[hook] = () => seen.connection?.abort()
    await (await peer.connection(0)).closed
    expect(seen).toMatchObject({ interim: [103], status, body: '', ends: 0 })
    expect([pool.open, pool.active, pool.idle]).toEqual([0, 0, 0])
  })
})
