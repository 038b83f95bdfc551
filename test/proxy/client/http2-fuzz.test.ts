/**
 * HTTP/2 under random attacks: see http2-fuzz.ts. Somebody else is served all the time, and nothing is left behind.
 */
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { http2Client, type SessionClient } from '../../support/http2-client.ts'
import { converseAll, echoUpstream } from './http2-fuzz.ts'
import { compareWithNode } from './http2-node.ts'

/** Conversations. `BANYAN_FUZZ_RUNS` and `BANYAN_FUZZ_SEED` set others. */
const RUNS = Number(process.env.BANYAN_FUZZ_RUNS ?? 1500)
const SEED = Number(process.env.BANYAN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 30))
/** Conversations that node:http2 has, too. */
const COMPARED = Math.ceil(RUNS / 4)
const TLS = join(import.meta.dirname, '../../support/tls')

/** All that tells why somebody else was not answered. */
async function whyNot({ program }: Banyan, { goaway, session }: SessionClient, request: object): Promise<string> {
  // What ends a process is told a moment after its sockets are gone.
  const end = session.destroyed ? await Promise.race([program.ended(), wait(5000, 'it runs')]) : 'it runs'
  return `somebody else got ${JSON.stringify({ ...request, goaway, isClosed: session.destroyed, end })}\n${program.stderr}`
}

test(`${RUNS} random clients (seed ${SEED})`, { timeout: 300_000 + RUNS * 100 }, async () => {
  const upstream = await echoUpstream()
  const { port } = upstream.address() as AddressInfo
  const tls = ['--tls', '127.0.0.1:0', '--tls-cert', join(TLS, 'server.pem'), '--tls-key', join(TLS, 'server-key.pem')]
  // With a small heap: in a long run, what is left of each connection would end the process.
  const nodeFlags = ['--max-old-space-size=80']
  const banyan = await startBanyan({ table: tableFor(port), args: ['--h2c', ...tls], nodeFlags })
  onTestFinished(async () => {
    await banyan.stop()
    upstream.closeAllConnections()
    upstream.close()
  })
  const plain = { port: banyan.port, tls: false }
  const byAlpn = { port: banyan.tlsPort as number, tls: true }
  const before = banyan.program.sockets()

  const other = await http2Client(banyan.port)
  let isOver = false
  let served = 0
  const others = (async () => {
    for (; !isOver; served++) {
      const asked = other.ask(`/other?size=${served % 1000}`)
      const { text, code } = await asked.rest()
      if (!text.startsWith('GET /other')) throw new Error(await whyNot(banyan, other, { served, code, text }))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  const targets = [...Array.from({ length: 9 }, () => plain), byAlpn]
  const conversations = converseAll(targets, SEED, RUNS).finally(() => {
    isOver = true
  })
  // Both tell what they know: where the process has ended, each of them fails.
  const outcomes = await Promise.allSettled([conversations, others])
  expect(outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))).toEqual([])
  const tally = await conversations
  other.session.close()
  await other.closed()
  console.log(`${RUNS} conversations: ${JSON.stringify(tally)}, and ${served} requests of somebody else`)
  // Both kinds must be there in numbers.
  expect(Math.min(tally.refused, tally.wentOn)).toBeGreaterThan(RUNS / 10)
  expect(tally.answers).toBeGreaterThan(RUNS / 2)

  // Connections to the upstream may stay.
  upstream.closeAllConnections()
  await expect.poll(() => banyan.program.sockets()).toBeLessThanOrEqual(before)
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(/^banyan_exceptions_total(?:\{.*\})? [1-9].*/m.exec(metrics)?.[0]).toBeUndefined()
  expect(/^banyan_active_exchanges(?:\{.*\})? [1-9].*/m.exec(metrics)?.[0]).toBeUndefined()
  expect(banyan.log.filter((line) => /exception|stack/i.test(line))).toEqual([])
  // A drain has nothing to wait for, and nothing was written to stderr.
  expect(await banyan.stop()).toBe(0)
})

test(`${COMPARED} random clients get the same of node:http2 (seed ${SEED})`, {
  timeout: 300_000 + RUNS * 100,
}, async () => {
  const upstream = await echoUpstream()
  const banyan = await startBanyan({ table: tableFor((upstream.address() as AddressInfo).port), args: ['--h2c'] })
  onTestFinished(async () => {
    await banyan.stop()
    upstream.closeAllConnections()
    upstream.close()
  })
  const compared = await compareWithNode({ port: banyan.port, tls: false }, SEED, COMPARED)
  console.log(`compared with node:http2: ${JSON.stringify(compared)}`)
  expect(Math.min(compared.refused, compared.wentOn)).toBeGreaterThan(COMPARED / 10)
})
