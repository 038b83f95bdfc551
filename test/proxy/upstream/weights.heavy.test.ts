/**
 * Shares of servers by their weights, with real processes: the same however many requests are under way.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { startLoad } from '../../support/load.ts'

const ended: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end()
})

/** A server that takes its time over each answer, and counts them. */
async function slowly(ms: number): Promise<{ port: number; asked: number }> {
  const server = createServer((_req, res) => {
    counted.asked++
    setTimeout(() => res.end('ok'), ms)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ended.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const counted = { port: (server.address() as AddressInfo).port, asked: 0 }
  return counted
}

test.each([
  { weight: 100, atATime: 2 },
  { weight: 100, atATime: 16 },
  { weight: 100, atATime: 128 },
  { weight: 9, atATime: 4 },
  { weight: 1, atATime: 3 },
])('a server of weight 1 beside one of $weight has its share with $atATime at a time', async ({ weight, atATime }) => {
  const [stable, canary] = [await slowly(5), await slowly(5)]
  const banyan = await startBanyan({
    table: `version: 1
upstreams:
  n:
    servers: [{ url: "http://127.0.0.1:${stable.port}", weight: ${weight} }, "http://127.0.0.1:${canary.port}"]
default: n
`,
  })
  ended.push(() => banyan.stop())
  const load = startLoad(banyan.port, atATime, () => ({ path: '/' }), 0)
  await load.more(1_000)
  await load.stop()
  const all = stable.asked + canary.asked
  const share = 1 / (weight + 1)
  const deviation = Math.sqrt(all * share * (1 - share))
  expect(Math.abs(canary.asked - all * share)).toBeLessThan(5 * deviation + 3)
})
