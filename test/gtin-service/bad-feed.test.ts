/**
 * A service answers from the data in force while the next sync meets a bad day: whatever the feed or the disk does, each
 * lookup gets the product as it was, and the run's report says what happened.
 */
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Data } from '../../gtin-service/data.ts'
import { gtinText, readGtin } from '../../gtin-service/gtin.ts'
import type { SyncReport } from '../../gtin-service/sync/report.ts'
import type { SyncOptions } from '../../gtin-service/sync/run.ts'
import { enterprise, feed, folder, line, sync, syncWithin, upc } from './feed.ts'
import { ask, serve } from './raw.ts'

const LINES = Array.from({ length: 40 }, (_, n) => line(n))
const CHANGED = feed(
  LINES.map((_, n) => line(n, { PRC_ORIG_CENTS: 777 })),
  { asOf: '2026-01-02' },
)
const target = `/stores/3/gtins/${gtinText(readGtin(upc(3)) as number)}`

/** A folder with the forty products, and a service on it. */
async function serving() {
  const data = folder()
  await sync(await enterprise((response) => response.end(feed(LINES))), data)
  const source = new Data({ folder: data, pollMs: 5 })
  const { port } = await serve({ source })
  const price = async (): Promise<string> => {
    const answer = await ask(port, 'GET', target)
    expect(answer.status).toBe(200)
    return (JSON.parse(answer.body) as { originalRetail: string }).originalRetail
  }
  return { data, price }
}

/** Runs a sync, and asks again and again until it has ended. */
async function besides(running: Promise<SyncReport>, price: () => Promise<string>) {
  let isOver = false
  void running.finally(() => (isOver = true))
  const prices: string[] = []
  while (!isOver) prices.push(await price())
  return { report: await running, prices }
}

async function dribble(response: ServerResponse, text: string): Promise<void> {
  for (let at = 0; at < text.length && !response.destroyed; at += 200) {
    response.write(text.slice(at, at + 200))
    await sleep(1)
  }
  response.end()
}

const BAD_DAYS: [string, (response: ServerResponse) => void, Partial<SyncReport>, Partial<SyncOptions>][] = [
  [
    'is cut off',
    (response) => response.write(CHANGED.slice(0, 9_000), () => response.destroy()),
    { outcome: 'failed', why: expect.stringMatching(/broke off/) },
    {},
  ],
  [
    'ends too early',
    (response) => response.end(CHANGED.slice(0, 9_000)),
    { outcome: 'failed', why: expect.stringMatching(/without its closing line/) },
    {},
  ],
  [
    'is a page of something else',
    (response) => response.end('<html>\n<h1>Maintenance</h1>\n</html>\n'),
    { outcome: 'failed', why: expect.stringMatching(/without its closing line/) },
    {},
  ],
  [
    'is whole, but half of it is nonsense',
    (response) => response.end(feed([...LINES, ...LINES.map(() => '{"REC_TYP":')], { asOf: '2026-01-02' })),
    { outcome: 'stopped', why: expect.stringMatching(/40 of 80 records were rejected/) },
    {},
  ],
  [
    'was changed on its way',
    (response) => response.end(CHANGED.replace('777', '778')),
    { outcome: 'failed', why: expect.stringMatching(/checksum/) },
    {},
  ],
  [
    'falls silent',
    (response) => void response.write(CHANGED.slice(0, 9_000)),
    { outcome: 'failed', why: expect.stringMatching(/nothing came for/) },
    { idleTimeoutMs: 100 },
  ],
  [
    'is refused',
    (response) => response.writeHead(503).end(),
    { outcome: 'failed', why: expect.stringMatching(/status 503/) },
    {},
  ],
]

test.each(BAD_DAYS)('the feed %s: lookups go on, and the report says so', async (_, answer, expected, options) => {
  const { data, price } = await serving()
  const running = sync(await enterprise(answer), data, { attempts: 3, ...options })
  const { report, prices } = await besides(running, price)
  expect(report).toMatchObject({ ...expected, products: 40, asOf: '2026-01-01' })
  expect(new Set([...prices, await price()])).toEqual(new Set(['140.00']))
})

test('the feed is slow, but never silent: lookups go on, and get the new data when it is whole', async () => {
  const { data, price } = await serving()
  const running = sync(await enterprise((response) => void dribble(response, CHANGED)), data, { idleTimeoutMs: 5_000 })
  const { report, prices } = await besides(running, price)
  expect(report).toMatchObject({ outcome: 'done', retries: 0, products: 40, asOf: '2026-01-02' })
  while (prices.at(-1) === '140.00') prices.push(await price())
  // The old price, and from one moment on the new one.
  expect(prices.toSorted()).toEqual(prices)
  expect(new Set(prices)).toEqual(new Set(['140.00', '7.77']))
})

test('the disk is full: lookups go on, and the report says so', async () => {
  const { data, price } = await serving()
  const from = await enterprise((response) => response.end(CHANGED))
  const { report, prices } = await besides(syncWithin(16, from, data), price)
  expect(report).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/full|disk I\/O error/), products: 40 })
  expect(new Set([...prices, await price()])).toEqual(new Set(['140.00']))
})
