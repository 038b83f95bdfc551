/**
 * SIGTERM, as an orchestrator sends it: readiness first, then time to notice, then the end of what runs; alike with one process
 * and with workers.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'
const UPGRADE = 'GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

async function start(
  workers: number,
  args: readonly string[],
): Promise<{ banyan: Banyan; upstream: ScriptedUpstream }> {
  const upstream = await scriptedUpstream()
  onTestFinished(() => upstream.stop())
  const banyan = await startBanyan({ table: tableFor(upstream.port), args: [...args, '--workers', String(workers)] })
  onTestFinished(async () => {
    await banyan.stop()
  })
  return { banyan, upstream }
}

const ready = async ({ adminPort }: Banyan) => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status

/** Whether connections are accepted. */
async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const accepted = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return accepted
}

describe.each([0, 2])('--workers %i', (workers) => {
  test('readiness fails first; answers end their connections; what runs is finished; exit 0', async () => {
    const { banyan, upstream } = await start(workers, ['--drain-delay', '3s'])
    const [running, kept] = [await rawClient(banyan.port), await rawClient(banyan.port)]
    upstream.handler = (request) => request.ok()
    expect((await kept.ask(GET)).head).not.toMatch(/connection: close/i)
    const held = new Promise<() => Promise<void>>((resolve) => {
      upstream.handler = (request) => resolve(() => request.ok('late'))
    })
    await running.send(GET)
    const answer = await held
    upstream.handler = (request) => request.ok()
    expect(await ready(banyan)).toBe(200)
    banyan.program.child.kill('SIGTERM')
    await expect.poll(() => ready(banyan)).toBe(503)
    // The balancer has yet to notice: its connections are taken, and each answer is the last one.
    const another = await rawClient(banyan.port)
    for (const client of [kept, another]) expect((await client.ask(GET)).head).toMatch(/\r\nconnection: close\r\n/i)
    await expect.poll(() => accepts(banyan.port), { timeout: 10_000 }).toBe(false)
    await answer()
    expect((await running.nextResponse()).body.text).toBe('late')
    expect(await banyan.program.ended()).toBe(0)
  })

  test('what is not over within --drain-timeout is cut, an upgraded connection too; exit 0', async () => {
    const { banyan, upstream } = await start(workers, ['--drain-timeout', '300ms'])
    upstream.handler = (request) =>
      request.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    const client = await rawClient(banyan.port)
    expect((await client.ask(UPGRADE)).status).toBe(101)
    banyan.program.child.kill('SIGTERM')
    expect(await banyan.program.ended()).toBe(0)
    expect(await client.ended()).toMatch(/end|reset/)
  })

  test('a second one hurries: the delay and what still runs are cut short; exit 0', async () => {
    const { banyan, upstream } = await start(workers, ['--drain-delay', '1h', '--drain-timeout', '1h'])
    const arrived = new Promise<void>((resolve) => {
      upstream.handler = () => resolve()
    })
    const client = await rawClient(banyan.port)
    await client.send(GET)
    await arrived
    banyan.program.child.kill('SIGTERM')
    await expect.poll(() => ready(banyan)).toBe(503)
    banyan.program.child.kill('SIGTERM')
    expect(await banyan.program.ended()).toBe(0)
  })
})
