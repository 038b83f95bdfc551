/**
 * Workers accept connections themselves, from one socket: none is lost when a worker or the primary ends or is replaced, they
 * are spread evenly, and the primary has no part in them.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { Agent, createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { banyanWith, get, Load, lives, upstreamNamed, workersBecome, workersOf } from './rig.ts'

const CLIENTS = 8
const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'

const spread = async (banyan: Banyan): Promise<number[]> =>
  (await workersOf(banyan)).map(({ connections }) => connections)

/** Connections that have been answered once and stay. */
async function kept(port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1').on('error', () => {}))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  await Promise.all(
    sockets.map(async (socket) => {
      socket.write(GET)
      await once(socket, 'data')
      socket.resume()
    }),
  )
  return sockets
}

function socketsOf(pid: number): number {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return links.filter((link) => link.startsWith('socket:')).length
}

describe.each([{ closes: true }, { closes: false }])('a connection per request: $closes', (kind) => {
  let banyan: Banyan
  let load: Load
  beforeAll(async () => {
    const server = createServer((_, response) => response.end('main')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const table = tableFor((server.address() as AddressInfo).port)
    banyan = await startBanyan({ table, args: ['--workers', '2', '--drain-delay', '24d'] })
    load = new Load(banyan.port, CLIENTS, kind)
    return async () => {
      await load.stop()
      await banyan.stop()
      server.close().closeAllConnections()
    }
  })

  test('workers are replaced twice over: not one request fails', async () => {
    await load.more(200)
    for (let round = 1; round <= 2; round++) {
      banyan.program.child.kill('SIGHUP')
      await expect.poll(() => banyan.log.filter((line) => line.includes('"event":"replaced"')).length).toBe(round)
      await load.more(200)
    }
    expect(load.failed).toEqual([])
    expect((await workersOf(banyan)).map(({ starts }) => starts)).toEqual([3, 3])
  })

  test('a worker is killed: only exchanges of its own break', async () => {
    const [victim] = await workersOf(banyan)
    process.kill(victim!.pid, 'SIGKILL')
    await workersBecome(banyan, ([one]) => one!.state === 'up' && one!.pid !== victim!.pid)
    // One request at a time of each client.
    const broken = load.failed.length
    expect(broken).toBeLessThanOrEqual(CLIENTS)
    await load.more(400)
    expect(load.failed).toHaveLength(broken)
    for (const { status } of load.failed) expect(status).toBeNull()
  })

  test('a drain: what a balancer sends until it sees that banyan is not ready is answered', async () => {
    const broken = load.failed.length
    banyan.program.child.kill('SIGTERM')
    const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${banyan.adminPort}/readyz`)).status
    await expect.poll(ready).toBe(503)
    await load.more(200)
    await load.stop()
    banyan.program.child.kill('SIGTERM')
    expect(await banyan.program.ended()).toBe(0)
    expect(load.failed).toHaveLength(broken)
  })
})

test('who connects while the only worker is dead is answered by the next one', async () => {
  const banyan = await banyanWith(1, { table: tableFor(await upstreamNamed('main')) })
  const [victim] = await workersOf(banyan)
  process.kill(victim!.pid, 'SIGKILL')
  await workersBecome(banyan, ([one]) => one!.state !== 'up')
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(banyan.port, '/', new Agent())))
  expect(answers.filter(({ text }) => text !== 'main')).toEqual([])
})

test('the primary is killed: what is under way is answered, and the address is free at once', async () => {
  const upstream = await scriptedUpstream()
  onTestFinished(() => upstream.stop())
  const banyan = await banyanWith(2, { table: tableFor(upstream.port) })
  const workers = await workersOf(banyan)
  const held = new Promise<() => Promise<void>>((resolve) => {
    upstream.handler = (request) => resolve(() => request.ok('late'))
  })
  const client = await rawClient(banyan.port)
  await client.send(GET)
  const answer = await held
  banyan.program.child.kill('SIGKILL')
  await once(banyan.program.child, 'exit')
  upstream.handler = (request) => request.ok('next')
  // Its workers have yet to notice.
  const accepts = async (): Promise<boolean> => {
    const socket = connect(banyan.port, '127.0.0.1')
    const accepted = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    return accepted
  }
  await expect.poll(accepts).toBe(false)
  const next = await startBanyan({
    table: tableFor(upstream.port),
    args: ['--workers', '2', '--listen', `127.0.0.1:${banyan.port}`],
  })
  onTestFinished(async () => {
    await next.stop()
  })
  expect((await get(next.port, '/', new Agent())).text).toBe('next')
  await answer()
  expect((await client.nextResponse()).body.text).toBe('late')
  await expect.poll(() => workers.some(({ pid }) => lives(pid))).toBe(false)
})

test('many connections at once are spread evenly, and again after workers are replaced', async () => {
  const count = 120
  const banyan = await banyanWith(3, { table: tableFor(await upstreamNamed('main')) })
  const sockets = await kept(banyan.port, count)
  // With many at once a few are not worth a pause.
  const isEven = (counts: number[]): boolean =>
    counts.reduce((sum, each) => sum + each, 0) === count && Math.max(...counts) - Math.min(...counts) <= 8
  expect(await spread(banyan)).toSatisfy(isEven)
  for (const socket of sockets) socket.destroy()
  await workersBecome(banyan, (workers) => workers.every(({ connections }) => connections === 0))
  banyan.program.child.kill('SIGHUP')
  await banyan.program.line((line) => line.includes('"event":"replaced"'))
  await kept(banyan.port, count)
  expect(await spread(banyan)).toSatisfy(isEven)
})

test('the primary opens no descriptor for connections', async () => {
  const banyan = await banyanWith(2, { table: tableFor(await upstreamNamed('main')) })
  await workersOf(banyan)
  const before = socketsOf(banyan.pid)
  await kept(banyan.port, 100)
  expect(socketsOf(banyan.pid)).toBe(before)
  const load = new Load(banyan.port, CLIENTS, { closes: true })
  for (let n = 0; n < 10; n++) {
    await load.more(50)
    expect(socketsOf(banyan.pid)).toBeLessThanOrEqual(before)
  }
  await load.stop()
  expect(load.failed).toEqual([])
})

test('a worker that hangs is not waited for: the other accepts, and both do when it goes on', async () => {
  const banyan = await banyanWith(2, { table: tableFor(await upstreamNamed('main')) })
  const [first, hung] = await workersOf(banyan)
  await kept(banyan.port, 10)
  expect(await spread(banyan)).toEqual([5, 5])
  process.kill(hung!.pid, 'SIGSTOP')
  onTestFinished(() => {
    if (lives(hung!.pid)) process.kill(hung!.pid, 'SIGCONT')
  })
  await kept(banyan.port, 10)
  await workersBecome(banyan, ([one]) => one!.connections === 15)
  expect(first!.pid).toBe((await workersOf(banyan))[0]!.pid)
  process.kill(hung!.pid, 'SIGCONT')
  // It is the one with fewer connections.
  await expect
    .poll(async () => {
      await kept(banyan.port, 1)
      return (await spread(banyan))[1]
    })
    .toBe(15)
})

test('a worker without file descriptors leaves connections to the other, and takes its part when it has some again', async () => {
  const banyan = await banyanWith(2, { table: tableFor(await upstreamNamed('main')) })
  const [full] = await workersOf(banyan)
  execFileSync('prlimit', ['--pid', String(full!.pid), '--nofile=64:4096'])
  const count = 200
  const sockets = Array.from({ length: count }, () => connect(banyan.port, '127.0.0.1').on('error', () => {}))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  const answered = (socket: Socket): Promise<boolean> =>
    new Promise((resolve) => {
      socket.once('data', () => resolve(true)).once('close', () => resolve(false))
      socket.write(GET)
    })
  const outcomes = await Promise.all(sockets.map(answered))
  // Those by which it noticed.
  expect(outcomes.filter((one) => !one).length).toBeLessThan(count / 10)
  expect((await spread(banyan))[1]).toBeGreaterThan(count / 2)
  execFileSync('prlimit', ['--pid', String(full!.pid), '--nofile=4096:4096'])
  // None of its own has closed: it must notice by itself, long before idle ones are closed.
  let left = 60
  await expect
    .poll(
      async () => {
        if (left-- > 0) await kept(banyan.port, 10)
        return (await spread(banyan))[0]
      },
      { interval: 250 },
    )
    .toBeGreaterThan(count / 4)
  expect(left).toBeGreaterThan(0)
})
