/**
 * Both sides of the split, asked through the proxy, tell the same product in the same JSON: the enterprise product from its
 * own catalog, the service from the copy that a sync has brought.
 */
import { Agent, get } from 'node:http'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { CATALOG_SIZE, gtinOf, SEED_NUMBER } from '../../legacy-mock/catalog.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { type DemoProgram, startGtin, startLegacy } from '../support/demo.ts'
import { folder, sync } from './feed.ts'

const LOOKUPS = 10_000
const SAMPLE = 900
const PRODUCTS = CATALOG_SIZE / SAMPLE
/** What differs on purpose: who answered, and when. */
const DIFFERENT = ['host', 'generatedAt']

const agent = new Agent({ keepAlive: true, maxSockets: 16 })
const running: { stop(): Promise<unknown> }[] = []
let legacy: DemoProgram

beforeAll(async () => {
  legacy = await startLegacy(['--latency', 'none'])
  running.push(legacy)
})
afterAll(async () => {
  agent.destroy()
  for (const one of running.reverse()) await one.stop()
})

async function startProxy(gtinPort: number): Promise<Banyan> {
  const table = [
    'version: 1',
    'upstreams:',
    `  legacy: { servers: [http://127.0.0.1:${legacy.port}] }`,
    `  gtin: { servers: [http://127.0.0.1:${gtinPort}] }`,
    'default: legacy',
    'routes:',
    '  - id: gtin-lookup',
    '    match: { hosts: [new.test], path: /stores/:storeId/gtins/:gtin }',
    '    to: gtin',
    '    percent: 100',
    '',
  ]
  const banyan = await startBanyan({ table: table.join('\n') })
  running.push(banyan)
  return banyan
}

interface Answer {
  readonly status: number
  readonly product: Record<string, unknown>
  readonly host: unknown
}

function ask(port: number, host: string, target: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    get({ port, path: target, agent, headers: { host } }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      response.once('error', reject).once('end', () => {
        const status = response.statusCode ?? 0
        const said = (status === 200 ? JSON.parse(body) : {}) as Record<string, unknown>
        const product = Object.entries(said).filter(([name]) => !DIFFERENT.includes(name))
        resolve({ status, product: Object.fromEntries(product), host: said.host })
      })
    }).once('error', reject)
  })
}

test(`${LOOKUPS} random lookups, and some of unknown GTINs, are the same from either side`, async () => {
  const data = folder()
  const report = await sync(`http://127.0.0.1:${legacy.port}/?sample=${SAMPLE}`, data)
  expect(report).toMatchObject({ outcome: 'done', products: PRODUCTS })
  const service = await startGtin(['--data', data, '--name', 'new-1'])
  onTestFinished(async () => void (await service.stop()))
  const { port } = await startProxy(service.port)

  const compare = async (target: string, status: number) => {
    const [old, new_] = await Promise.all([ask(port, 'old.test', target), ask(port, 'new.test', target)])
    expect([old.status, new_.status], target).toEqual([status, status])
    expect(new_.product, target).toEqual(old.product)
    expect(Object.keys(new_.product), target).toEqual(Object.keys(old.product))
    if (status === 200) expect([old.host, new_.host]).toEqual(['catalog01', 'new-1'])
  }
  let asked = 0
  const worker = async () => {
    while (asked++ < LOOKUPS) {
      const number = (SEED_NUMBER % SAMPLE) + Math.floor(Math.random() * PRODUCTS) * SAMPLE
      await compare(`/stores/${1 + Math.floor(Math.random() * 240)}/gtins/${gtinOf(number)}`, 200)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  await compare('/stores/3/gtins/123456789012', 200)
  // The enterprise product never learnt of other forms: there the service finds more, and tells the same.
  for (const form of ['0123456789012', '00123456789012', '1-23456-78901-2', '1%2023456%2078901%202']) {
    expect((await ask(port, 'old.test', `/stores/3/gtins/${form}`)).status).toBe(404)
    const [asked, plain] = await Promise.all([
      ask(port, 'new.test', `/stores/3/gtins/${form}`),
      ask(port, 'new.test', '/stores/3/gtins/123456789012'),
    ])
    expect(asked).toEqual(plain)
  }
  for (const gtin of ['123456789013', '036000291452', 'abc']) await compare(`/stores/3/gtins/${gtin}`, 404)
})
