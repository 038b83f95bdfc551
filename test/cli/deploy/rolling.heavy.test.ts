/**
 * `banyan deploy rolling` with three GTIN services in real processes, under load: no request fails, whatever the new version does
 * to its health.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startProgram } from '../../support/process.ts'
import { allGood, answeredBy, HEALTH, type Stage, stageOf } from './rig.ts'

const IDS = ['one', 'two', 'three']
let stage: Stage

beforeEach(async () => {
  stage = await stageOf(
    IDS,
    (legacy, port) => `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy}] }
  gtin:
    servers:
${IDS.map((id) => `      - { url: http://127.0.0.1:${port(id)}, id: ${id} }`).join('\n')}
    ${HEALTH}
default: legacy
routes:
  - { id: gtin-lookup, match: { path: "/stores/:storeId/gtins/:gtin" }, to: gtin, percent: 100 }
`,
    // Two, so that what is drained is drained in each.
    ['--workers', '2'],
  )
})
afterEach(() => stage?.stop())

const QUICK = ['--watch', '300ms', '--wait', '2m', '--ready', '2m']
const drained = async (): Promise<string[]> => {
  const { servers } = (await (await stage.admin('GET', '/upstreams/gtin/servers')).json()) as {
    servers: { id: string; drained: boolean }[]
  }
  return servers.filter((server) => server.drained).map(({ id }) => id)
}

test('three services are replaced one after the other, by a command in a shell, and no request fails', async () => {
  const load = stage.load()
  await load.more(200)
  // What the operator's command does is done here; the command only asks for it.
  const replaced: string[] = []
  const replacer = createServer((req, res) => {
    const id = (req.url as string).slice(1)
    replaced.push(id)
    stage.fleet.replace(id, 'v2').then(
      () => res.end(),
      () => res.destroy(),
    )
  })
  await new Promise<void>((done) => replacer.listen(0, '127.0.0.1', done))
  const { port } = replacer.address() as AddressInfo
  const command = `"${process.execPath}" -e "fetch('http://127.0.0.1:${port}/{id}').catch(() => process.exit(1))"`
  const deploy = startProgram([
    ...['bin/banyan.js', 'deploy', 'rolling', 'gtin', '--replace', command, ...QUICK],
    ...['--admin', `127.0.0.1:${stage.banyan.adminPort}`],
  ])
  const last = await deploy.line((line) => /^(done|stopped|reverted|refused)/.test(line))
  expect(last, deploy.log.join('\n')).toBe('done: replaced 3 servers of gtin: one, two, three')
  await deploy.stop()
  await load.more(200)
  await load.stop()
  replacer.close()
  const count = allGood(load)
  expect(replaced).toEqual(IDS)
  expect(new Set(load.outcomes.slice(-150).map(answeredBy))).toEqual(new Set([null, 'one-v2', 'two-v2', 'three-v2']))
  expect(await drained()).toEqual([])
  console.info(`rolling replace of three: ${count} requests, 0 failed`)
})

test('a version that does not become healthy gets no request, and is taken back', async () => {
  const load = stage.load()
  await load.more(100)
  const ended = await stage.cli(
    ['deploy', 'rolling', 'gtin', '--replace', 'to {id}', '--revert', 'back {id}', ...QUICK, '--ready', '3s', '--json'],
    {
      run: async (command) => {
        const [what, id] = command.split(' ') as [string, string]
        if (what === 'to' && id === 'two') {
          await stage.fleet.replaceBy(id, (_req, res) => {
            res.statusCode = 503
            res.end()
          })
        } else await stage.fleet.replace(id, what === 'to' ? 'v2' : 'v1')
        return 0
      },
    },
  )
  await load.more(100)
  await load.stop()
  const count = allGood(load)
  const told = JSON.parse(ended.out)
  expect([ended.code, told.ending], ended.err).toEqual([6, 'reverted'])
  expect(told.steps.map(({ what }: { what: string }) => what)).toContain(
    'failed: two: not healthy within 3 s (--ready): status 503',
  )
  expect(await drained()).toEqual([])
  expect(new Set(load.outcomes.slice(-60).map(answeredBy))).toEqual(new Set([null, 'one-v1', 'two-v1', 'three-v1']))
  console.info(`rolling that reverts: ${count} requests, 0 failed`)
})

test('a version that is healthy and fails its requests is found out and taken back', async () => {
  const load = stage.load()
  await load.more(100)
  const ended = await stage.cli(
    ['deploy', 'rolling', 'gtin', '--replace', 'to {id}', '--revert', 'back {id}', ...QUICK, '--watch', '5s'],
    {
      run: async (command) => {
        const [what, id] = command.split(' ') as [string, string]
        if (what === 'back') await stage.fleet.replace(id, 'v1')
        else {
          await stage.fleet.replaceBy(id, (req, res) => {
            res.statusCode = req.url?.includes('health') ? 200 : 500
            res.end()
          })
        }
        return 0
      },
    },
  )
  expect(ended.code, ended.out + ended.err).toBe(6)
  expect(ended.out).toMatch(/^failed: \d+ of \d+ requests failed at gtin\/one$/m)
  const failed = load.outcomes.filter(({ status }) => status !== 200)
  const before = load.outcomes.length
  await load.more(200)
  await load.stop()
  // Its own answers went to clients until the verdict; two are enough for it, the rest came between two looks.
  expect(new Set(failed.map(({ status }) => status))).toEqual(new Set([500]))
  expect(load.outcomes.slice(before).every(({ status }) => status === 200)).toBe(true)
  expect(await drained()).toEqual([])
})

test('without a way back it stops, and what failed is left without requests', async () => {
  const load = stage.load()
  const ended = await stage.cli(['deploy', 'rolling', 'gtin', '--replace', 'x {id}', ...QUICK, '--only', 'two'], {
    run: async () => 3,
  })
  await load.more(100)
  await load.stop()
  allGood(load)
  expect(ended).toMatchObject({ code: 7, out: expect.stringContaining('failed: two: the command exited with 3\n') })
  expect(ended.out).toContain("stopped: two is still drained; use --revert 'COMMAND' for automatic rollback\n")
  expect(await drained()).toEqual(['two'])
})

test('a dry run changes nothing; what can not be done is refused before anything is', async () => {
  const dry = await stage.cli(['deploy', 'rolling', 'gtin', '--replace', 'run {id} {url}', '--dry-run'])
  expect(dry.out).toContain(`would drain one, run run one http://127.0.0.1:${stage.fleet.portOf('one')}, wait until`)
  expect(dry.out).toMatch(/\ndone: nothing was changed \(dry run of one, two, three\)\n$/)
  for (const [words, code, message] of [
    [['rolling', 'gtin'], 2, "missing --replace 'COMMAND'"],
    [['rolling', 'legacy', '--replace', 'x'], 1, 'legacy has no health checks'],
    [['rolling', 'gtni', '--replace', 'x'], 1, 'unknown upstream "gtni"'],
    [['rolling', 'gtin', '--replace', 'x', '--only', 'four'], 1, 'unknown server four of gtin'],
    [['rolling', 'gtin', '--replace', 'x', '--max-errors', 'few'], 2, '--max-errors few: invalid percent'],
    [['rollling', 'gtin'], 2, "unknown subcommand 'rollling': must be one of rolling, blue-green, canary, preview"],
    [['rolling'], 2, 'usage: banyan deploy rolling UPSTREAM'],
  ] as const) {
    const ended = await stage.cli(['deploy', ...words], { run: () => Promise.reject(new Error('nothing is to run')) })
    expect(ended, words.join(' ')).toMatchObject({ code, err: expect.stringContaining(message) })
  }
  expect(await drained()).toEqual([])
})
