/**
 * Active health checks with real processes: one that hangs is left out, seen everywhere, and used again when it is back.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { type DemoProgram, startGtin } from '../../support/demo.ts'
import { LookupClient } from '../../support/lookup.ts'

let gtins: DemoProgram[]
let banyan: Banyan
let client: LookupClient

beforeAll(async () => {
  gtins = await Promise.all([startGtin(['--name', 'one']), startGtin(['--name', 'two'])])
  banyan = await startBanyan({
    table: `version: 1
upstreams:
  gtin:
    servers:
      - { url: http://127.0.0.1:${gtins[0]!.port}, id: one }
      - { url: http://127.0.0.1:${gtins[1]!.port}, id: two }
    health: { path: /stores/health/gtins/check, every: 100ms, timeout: 3s, up: 2, down: 2 }
default: gtin
`,
  })
  client = new LookupClient(banyan.port)
})

afterAll(async () => {
  client?.close()
  gtins?.[0]?.program.child.kill('SIGCONT')
  await Promise.all([banyan, ...(gtins ?? [])].map((program) => program?.stop()))
})

const turned = (server: string, healthy: boolean): Promise<string> =>
  banyan.program.line(
    (line) =>
      line.includes('"event":"health"') &&
      line.includes(`"server":"${server}"`) &&
      line.includes(`"healthy":${healthy}`),
  )

interface Told {
  readonly id: string
  readonly state: string
  readonly connects: number
  readonly reuses: number
  readonly health: { readonly healthy: boolean; readonly last: { readonly detail: string } }
}

async function told(): Promise<Told[]> {
  const answer = await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/gtin`)
  return ((await answer.json()) as { live: { servers: Told[] } }).live.servers
}

/** Sends lookups, all of which must be answered. @returns how many each server was asked */
async function lookups(count: number): Promise<number[]> {
  const asked = (servers: Told[]) => servers.map(({ connects, reuses }) => connects + reuses)
  const before = asked(await told())
  const answers = await Promise.all(Array.from({ length: count }, () => client.get()))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  return asked(await told()).map((now, at) => now - before[at]!)
}

test('a server that hangs is unhealthy within its thresholds, gets nothing, and comes back', async () => {
  expect(Math.min(...(await lookups(400)))).toBeGreaterThan(0)
  gtins[0]!.program.child.kill('SIGSTOP')
  const line = JSON.parse(await turned('one', false))
  expect(line).toMatchObject({ level: 40, upstream: 'gtin', detail: 'timed out after 3000 ms' })
  expect((await told()).map(({ id, state, health }) => [id, state, health.healthy])).toEqual([
    ['one', 'unhealthy', false],
    ['two', 'up', true],
  ])
  expect(await lookups(400)).toEqual([0, 400])
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(metrics).toContain('banyan_server_state{upstream="gtin",server="one",state="unhealthy"} 1')
  expect(metrics).toMatch(
    /banyan_health_probes_total\{upstream="gtin",server="one",result="failed"\} (?:[2-9]|\d{2,})$/m,
  )
  gtins[0]!.program.child.kill('SIGCONT')
  await turned('one', true)
  expect((await lookups(400))[0]).toBeGreaterThan(0)
})
