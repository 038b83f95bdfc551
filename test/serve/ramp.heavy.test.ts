/**
 * Ramps of a running proxy: good versions go to 100 % by themselves, bad ones are taken back; people pause, approve, step and
 * abort them; they survive a kill.
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { banyan as command, type Ended } from '../cli/rig.ts'
import { workersBecome, workersOf } from '../processes/rig.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { type Load, startLoad } from '../support/load.ts'
import { startProgram } from '../support/process.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const good: Answer = (_, response) => response.end('{}')

/** An upstream whose answers can be changed. */
async function upstream(): Promise<{ url: string; answer: Answer; close(): void }> {
  const server = createServer((request, response) => state.answer(request, response))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const state = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answer: good,
    close: () => void server.close().closeAllConnections(),
  }
  return state
}

const [legacy, modern] = await Promise.all([upstream(), upstream()])
afterAll(() => {
  legacy.close()
  modern.close()
})

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  legacy.answer = good
  modern.answer = good
})

/** Little traffic is enough: it tolerates what a real ramp would not, a busy machine too. */
const QUICK = 'hold: 1s, guard: { minKeys: 20, tolerate: { harm: 50, latency: 4 } }'

const tableOf = (ramp: string, sticky = 'header:x-user'): string => `version: 1
upstreams:
  legacy: { servers: ["${legacy.url}"] }
  modern: { servers: ["${modern.url}"] }
default: legacy
routes:
  # moves by evidence
  - { id: moving, match: { path: /* }, to: modern, percent: 0, sticky: "${sticky}", ramp: { ${ramp} } }
`

interface How {
  readonly workers?: number
  readonly load?: boolean
  readonly sticky?: string
  readonly args?: readonly string[]
}

async function start(
  ramp: string,
  { workers = 0, load = true, sticky = 'header:x-user', args = [] }: How = {},
): Promise<Running> {
  const banyan = await startBanyan({ table: tableOf(ramp, sticky), args: ['--workers', String(workers), ...args] })
  ends.push(() => banyan.stop())
  const proxy = new Running(banyan)
  if (load) proxy.load()
  return proxy
}

class Running {
  readonly banyan: Banyan
  traffic: Load | null = null

  constructor(banyan: Banyan) {
    this.banyan = banyan
  }

  /** Each request has a key of its own. */
  load(): void {
    const traffic = startLoad(this.banyan.port, 4, (n) => ({ path: '/', headers: { 'x-user': `user-${n}` } }))
    this.traffic = traffic
    ends.push(() => traffic.stop())
  }

  run(...words: string[]): Promise<Ended> {
    return command(words, { env: { BANYAN_ADMIN: `127.0.0.1:${this.banyan.adminPort}` } })
  }

  async ask(path: string, method = 'GET', body?: object) {
    const response = await fetch(`http://127.0.0.1:${this.banyan.adminPort}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    return { status: response.status, json: await response.json() }
  }

  async ramp() {
    return (await this.ask('/routes/moving/ramp')).json
  }

  async until(status: string) {
    let last = {}
    try {
      return await vi.waitUntil(
        async () => {
          const ramp = await this.ramp()
          last = ramp
          return ramp.status === status ? ramp : null
        },
        { timeout: 120_000, interval: 100 },
      )
    } catch (error) {
      throw new Error(`not ${status}: ${JSON.stringify(last)}`, { cause: error })
    }
  }

  get text(): string {
    return readFileSync(this.banyan.tableFile, 'utf8')
  }
}

describe('a good version', () => {
  test.each([0, 2])(
    'goes to the end by itself, each step a revision with its evidence: %s workers',
    async (workers) => {
      const proxy = await start(`steps: [10, 50, 100], ${QUICK}`, { workers })
      expect(await proxy.ramp()).toMatchObject({ status: 'not-started', next: 10 })
      expect(await proxy.run('ramp', 'start', 'moving')).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^moving: running at 10 %, next 50 % \(10 %: started by anonymous\)\n$/),
      })
      await proxy.until('done')
      expect(proxy.text).toContain('percent: 100')
      expect(proxy.text).toContain('# moves by evidence')
      const { json } = await proxy.ask('/revisions')
      const made = json.revisions.filter(({ author }: { author: string }) => author === 'ramp')
      expect(made).toHaveLength(2)
      expect(made[0].reason).toMatch(/^ramp to 100 %: the new side fails 0 of [\d,]+ keys, the rest 0 of [\d,]+$/)
      const status = await proxy.run('ramp', 'status', 'moving')
      expect(status.out).toContain('moving: done at 100 %')
      expect((await proxy.run('ramp', 'status')).out).toMatch(
        /^ROUTE +STATUS +STEP +NEXT +WHY\nmoving +done +100 % +- /,
      )
    },
  )

  test('moves those without a key only at the step `all`', async () => {
    const proxy = await start(`steps: [50, 100, all], approve: [all], ${QUICK}`)
    await proxy.run('ramp', 'start', 'moving')
    await proxy.until('waiting')
    expect(proxy.text).toMatch(/percent: 100\b.*noKey: from/)
    await proxy.run('ramp', 'approve', 'moving')
    await proxy.until('done')
    expect(proxy.text).toContain('percent: 100')
    expect(proxy.text).not.toContain('noKey')
  })

  test('takes back those without a key where the new side fails only them', async () => {
    const proxy = await start(`steps: [50, 100, all], ${QUICK}`, {
      load: false,
      args: ['--trusted-proxies', '127.0.0.1'],
    })
    const traffic = startLoad(proxy.banyan.port, 4, (n) => ({
      path: '/',
      headers:
        n % 2 === 0 ? { 'x-user': `user-${n}` } : { 'x-forwarded-for': `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}` },
    }))
    ends.push(() => traffic.stop())
    modern.answer = (request, response) => {
      response.statusCode = request.headers['x-user'] === undefined ? 500 : 200
      response.end()
    }
    await proxy.run('ramp', 'start', 'moving')
    const { verdict, evidence } = await proxy.until('rolled-back')
    expect(verdict).toMatchObject({ verdict: 'fail', ground: 'no-key' })
    expect(verdict.words).toMatch(/^the new side fails [\d,]+ of [\d,]+ requests without a key, the rest 0 of [\d,]+, /)
    expect(evidence).toHaveLength(3)
    expect((await proxy.run('ramp', 'status', 'moving')).out).toMatch(
      /^no key {2}the new side fails \d+ of \d+, the rest fails 0 of \d+ requests, judged apart$/m,
    )
    expect(proxy.text).toContain('percent: 0')
  })

  test('is not taken back where both sides fail alike', async () => {
    const failing: Answer = (request, response) => {
      response.statusCode = Number(String(request.headers['x-user']).slice(5)) % 20 === 0 ? 500 : 200
      response.end('{}')
    }
    legacy.answer = failing
    modern.answer = failing
    const proxy = await start(`steps: [10, 50, 100], ${QUICK}`)
    await proxy.run('ramp', 'start', 'moving')
    expect((await proxy.until('done')).evidence[0].failed.error.rest).toBeGreaterThan(0)
  })
})

describe('a bad version is taken back, percent and all', () => {
  test.each<[string, string, Answer]>([
    ['errors', 'error', (_, response) => void response.writeHead(500).end()],
    ['404 for all', 'client-error', (_, response) => void response.writeHead(404).end()],
    ['redirects', 'redirect', (_, response) => void response.writeHead(302, { location: '/login' }).end()],
    ['slowness', 'latency', (_, response) => void setTimeout(() => response.end('{}'), 60)],
    ['broken responses', 'error', (request) => request.socket.destroy()],
  ])('%s', async (_, ground, answer) => {
    modern.answer = answer
    const proxy = await start('steps: [50, 100], hold: 5m, guard: { minKeys: 20 }')
    await proxy.ask('/routes/moving', 'PATCH', { percent: 0.5 })
    await proxy.run('ramp', 'start', 'moving')
    const ramp = await proxy.until('rolled-back')
    expect(ramp.verdict).toMatchObject({ verdict: 'fail', ground })
    expect(proxy.text).toContain('percent: 0.5')
    const { json } = await proxy.ask('/revisions')
    expect(json.revisions[0]).toMatchObject({ author: 'ramp', reason: `taken back: ${ramp.verdict.words}` })
    await proxy.banyan.program.line((line) => line.includes('ramp of moving: rolled-back'))
  })

  test('errors that clients do not see, since they get what is stored', async () => {
    const table = tableOf('steps: [50, 100], hold: 5m').replace(
      'percent: 0',
      'percent: 0, cache: { ttl: 1s, staleIfError: 10m }',
    )
    const banyan = await startBanyan({ table })
    ends.push(() => banyan.stop())
    const proxy = new Running(banyan)
    modern.answer = (_, response) => response.end('of modern')
    proxy.load()
    await proxy.run('ramp', 'start', 'moving')
    // Each side has a stored response of its own.
    await proxy.traffic!.next(({ text, headers }) => text === 'of modern' && Number(headers.age) > 0)
    modern.answer = (_, response) => void response.writeHead(500).end()
    expect((await proxy.until('rolled-back')).verdict.ground).toBe('error')
    expect(proxy.traffic!.outcomes.every(({ status }) => status === 200)).toBe(true)
  })

  test.each(['', ', cache: { ttl: 1s }'])(
    'that hangs, though clients leave before anything times out%s',
    async (more) => {
      let n = 0
      modern.answer = (_, response) => void (n++ % 3 > 0 && response.end('{}'))
      const table = tableOf('steps: [50, 100], hold: 5m').replace('percent: 0', `percent: 0${more}`)
      const banyan = await startBanyan({ table })
      ends.push(() => banyan.stop())
      const proxy = new Running(banyan)
      const traffic = startLoad(banyan.port, 8, (at) => ({
        ...{ path: `/${at}`, headers: { 'x-user': `user-${at}` }, patienceMs: 200 },
      }))
      ends.push(() => traffic.stop())
      await proxy.run('ramp', 'start', 'moving')
      expect((await proxy.until('rolled-back')).verdict.ground).toBe('latency')
    },
  )

  test('with 200 clients that come again and again', async () => {
    modern.answer = (_, response) => void response.writeHead(503).end()
    const proxy = await start('steps: [25, 100], hold: 5m', { load: false })
    const traffic = startLoad(proxy.banyan.port, 4, (n) => ({ path: '/', headers: { 'x-user': `user-${n % 200}` } }))
    ends.push(() => traffic.stop())
    await proxy.run('ramp', 'start', 'moving')
    expect((await proxy.until('rolled-back')).verdict.ground).toBe('error')
  })
})

describe('people', () => {
  test('approve a step, pause and resume, take one by their word, and abort', async () => {
    const proxy = await start(`steps: [10, 20, 30, 40], approve: [20], ${QUICK}`)
    await proxy.run('ramp', 'start', 'moving')
    await proxy.until('waiting')
    expect((await proxy.run('ramp', 'approve', 'moving')).code).toBe(0)
    await vi.waitUntil(async () => (await proxy.ramp()).step >= 20, { timeout: 120_000 })
    expect((await proxy.run('ramp', 'pause', 'moving')).out).toContain('moving: paused')
    const { step, next } = await proxy.ramp()
    expect(await proxy.run('ramp', 'step', 'moving', '--reason', 'quiet night')).toMatchObject({
      code: 1,
      err: expect.stringContaining('the ramp of moving is paused: resume it first'),
    })
    expect((await proxy.run('ramp', 'resume', 'moving')).code).toBe(0)
    if (next !== null && step < 40) {
      const stepped = await proxy.run('ramp', 'step', 'moving', '--reason', 'quiet night')
      expect(stepped.out + stepped.err).toMatch(
        /step taken by anonymous, not by evidence: quiet night|last step|is over/,
      )
    }
    const aborted = await proxy.run('ramp', 'abort', 'moving', '--back')
    if (aborted.code === 0) expect(proxy.text).toContain('percent: 0')
  })

  test('change percent: the ramp pauses and names them, and goes on where it is told to', async () => {
    const proxy = await start('steps: [10, 50, 100], hold: 5m')
    await proxy.run('ramp', 'start', 'moving')
    await proxy.run('set', 'moving', '60', '--reason', 'by hand')
    const ramp = await proxy.until('paused')
    expect(ramp.why).toBe('anonymous set 60 % in revision 3, the ramp had 10 %')
    await proxy.run('ramp', 'resume', 'moving')
    expect(await proxy.ramp()).toMatchObject({ status: 'running', step: 50, percent: 60, next: 100 })
  })

  test('remove the route: the ramp is aborted', async () => {
    const proxy = await start('steps: [10, 50], hold: 5m')
    await proxy.run('ramp', 'start', 'moving')
    await proxy.ask('/routes/moving', 'DELETE')
    await vi.waitUntil(() => proxy.banyan.log.some((line) => line.includes('its route was removed')), {
      timeout: 120_000,
    })
    expect((await proxy.ask('/routes/moving/ramp')).status).toBe(404)
  })

  test('get told what can not be done', async () => {
    const proxy = await start('steps: [10, 50], hold: 5m', { load: false })
    expect(await proxy.run('ramp', 'pause', 'moving')).toMatchObject({
      code: 1,
      err: expect.stringContaining('the ramp of moving has not been started'),
    })
    await proxy.run('ramp', 'start', 'moving')
    expect((await proxy.run('ramp', 'start', 'moving')).err).toContain('the ramp of moving is running already')
    expect((await proxy.run('ramp', 'approve', 'moving')).err).toContain('waits for no approval')
    expect((await proxy.run('ramp', 'step', 'moving')).err).toContain('missing --reason')
    expect((await proxy.run('ramp', 'status', 'movin')).err).toContain('did you mean `moving`')
    expect(await proxy.ask('/routes/moving/ramp/step', 'POST', { reasons: 'x' })).toMatchObject({ status: 422 })
    expect(await proxy.ask('/routes/moving/ramp/pause', 'POST', { x: 1 })).toMatchObject({ status: 422 })
  })
})

test('a kill loses no step and takes none twice', async () => {
  const table = tableOf(`steps: [10, 50, 100], hold: 3s, guard: { minKeys: 20, tolerate: { harm: 50, latency: 20 } }`)
  const banyan = await startBanyan({ table, complains: true, args: ['--workers', '1'] })
  const before = new Running(banyan)
  before.load()
  await before.run('ramp', 'start', 'moving')
  const [worker] = await workersOf(banyan)
  process.kill(worker!.pid, 'SIGKILL')
  await workersBecome(banyan, ([next]) => next !== undefined && next.pid !== worker!.pid)
  await vi.waitUntil(async () => (await before.ramp()).step === 50, { timeout: 120_000 })
  await banyan.program.kill()
  const flags = ['--table', banyan.tableFile, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '0']
  const program = startProgram(['bin/banyan.js', 'serve', ...flags, '--access-log', 'none'])
  ends.push(() => program.stop())
  const line = await program.line((one) => one.startsWith('banyan ready '))
  const ready = [...line.matchAll(/http:\/\/[^ ]*:(\d+)/g)].map(([, port]) => Number(port))
  const after = new Running({ ...banyan, port: ready[0]!, adminPort: ready[1]! })
  expect(await after.ramp()).toMatchObject({
    status: expect.stringMatching(/running|holding/),
    step: 50,
    storage: 'folder',
  })
  after.load()
  await after.until('done')
  const { json } = await after.ask('/revisions')
  const steps = json.revisions.filter(({ reason }: { reason: string | null }) => reason?.startsWith('ramp to'))
  expect(steps.map(({ reason }: { reason: string }) => reason.split(':')[0])).toEqual([
    'ramp to 100 %',
    'ramp to 50 %',
    'ramp to 10 %',
  ])
})

test('of two instances on one state folder the owner runs the ramp, and the other one goes on when it has ended', async () => {
  const table = tableOf(`steps: [10, 100], hold: 5m, ${QUICK.slice('hold: 1s, '.length)}`)
  const owner = await startBanyan({ table })
  const flags = ['--table', owner.tableFile, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '0']
  const program = startProgram(['bin/banyan.js', 'serve', ...flags, '--access-log', 'none'])
  ends.push(() => program.stop())
  const line = await program.line((one) => one.startsWith('banyan ready '))
  const ready = [...line.matchAll(/http:\/\/[^ ]*:(\d+)/g)].map(([, port]) => Number(port))
  const other = new Running({ ...owner, port: ready[0]!, adminPort: ready[1]! })
  expect(await other.run('ramp', 'start', 'moving')).toMatchObject({
    code: 1,
    err: expect.stringContaining('is owned by'),
  })
  await new Running(owner).run('ramp', 'start', 'moving')
  expect(await other.ramp()).toMatchObject({ status: 'not-started' })
  await owner.program.stop()
  expect(await other.until('running')).toMatchObject({ step: 10, percent: 10, storage: 'folder' })
  expect((await other.run('ramp', 'abort', 'moving', '--back')).code).toBe(0)
  await vi.waitUntil(() => other.text.includes('percent: 0'), { timeout: 120_000 })
})
