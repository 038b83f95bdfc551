/**
 * `npm start`: the demo, followed by what it prints itself, on ports of choice, in a checkout that stays as it was.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Program, startProgram } from '../support/process.ts'

const ROOT = join(import.meta.dirname, '../..')
const table = readFileSync(join(ROOT, 'routes.yaml'), 'utf8')

/** What git has to say of the checkout; a copy without git says nothing. */
const gitStatus = (): string => spawnSync('git', ['status', '--porcelain'], { cwd: ROOT, encoding: 'utf8' }).stdout
const before = gitStatus()

let port: number
let demo: Program
let told: readonly string[]

/** A port of which the next one is free too. */
async function freePair(): Promise<number> {
  for (;;) {
    const servers = [createServer(), createServer()]
    const listen = (server: (typeof servers)[0], at: number): Promise<boolean> =>
      new Promise((resolve) => {
        server.once('error', () => resolve(false))
        server.listen(at, '127.0.0.1', () => resolve(true))
      })
    const [first, second] = servers as [(typeof servers)[0], (typeof servers)[0]]
    await listen(first, 0)
    const { port } = first.address() as { port: number }
    const both = port < 65_535 && (await listen(second, port + 1))
    await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
    if (both) return port
  }
}

/** What each of these lines prints in one shell. */
async function typed(commands: readonly string[]): Promise<string[]> {
  const script = commands.map((line) => `${line}\necho "-- end"`).join('\n')
  const shell = spawn('bash', ['--noprofile', '--norc', '-c', script], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  shell.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  shell.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  await new Promise((resolve) => shell.once('close', resolve))
  expect(err).toBe('')
  return out.split('-- end\n')
}

beforeAll(async () => {
  port = await freePair()
  demo = startProgram(['scripts/start.ts', '--port', String(port)])
  await demo.line((line) => line.includes('Ctrl-C'))
  told = demo.log.slice(0, demo.log.findIndex((line) => line.includes('Ctrl-C')) + 1)
}, 120_000)

afterAll(() => demo?.stop())

test('the first thing that it prints is what to do next, in ten lines or fewer', () => {
  expect(told.length).toBeLessThanOrEqual(10)
  expect(told[0]).toMatch(new RegExp(`^banyan is ready on http://127\\.0\\.0\\.1:${port}, .*In another terminal`))
  expect(demo.stderr).toMatch(
    /^sync: copying every 900th product of .*\nsync done: full load, 20,000 records read .*\n {2}products: 20,000 added; 20,000 in all\n$/,
  )
})

test('followed line by line, it shows a client that moves, a hit, and why', { timeout: 120_000 }, async () => {
  const commands = told.filter((line) => line.startsWith('  '))
  const all = await typed(commands)
  const out = all.join('')
  const lookups = commands.flatMap((line, at) => (/^ {2}lookup[; ]/.test(line) ? [all[at] as string] : []))
  expect(lookups).toEqual([
    expect.stringMatching(/fwd=[\s\S]*"host": "catalog01"/),
    expect.stringMatching(/fwd=[\s\S]*"host":"gtin-[12]"[\s\S]*hit[\s\S]*"host":"gtin-[12]"/),
  ])
  expect(out).toMatch(/^1 comparison since \S+: 1 equal, 0 different; /m)
  expect(out).toContain('gtin-lookup: 5 % -> 50 % to gtin (revision 2)')
  expect(out).toMatch(/^goes to {3}gtin: within the percent of the route \(percent\)$/m)
  expect(out).toMatch(/^2 \* .* no errors$/m)
  const logged = await demo.line((line) => / 200 from legacy \(.*\), rest: [\d.]+ >= 5 %, cache miss/.test(line))
  const [setUp = ''] = commands
  const [, why] = await typed([setUp, `banyan explain --id ${/, id (\S+)$/.exec(logged)?.[1]}`])
  expect(why).toMatch(/^went to legacy \(.*\): rest, cache miss$/m)
  await demo.line((line) => / 200 from gtin \(.*\), percent: [\d.]+ < 50 %, cache miss/.test(line))
  await demo.line((line) => / 200 from the cache of gtin, .* cache hit/.test(line))
})

test('the table that it edits is a copy in a folder that git ignores', () => {
  const path = /^The table is (\S+): edit it as well; this copy is removed at the end/m.exec(
    told.join('\n'),
  )?.[1] as string
  expect(readFileSync(join(ROOT, path), 'utf8')).toContain('percent: 50 ')
  expect(readFileSync(join(ROOT, 'routes.yaml'), 'utf8')).toBe(table)
  expect(gitStatus()).toBe(before)
})

test('a port that is taken says how to choose others', () => {
  const again = (...args: string[]) =>
    spawnSync(process.execPath, ['scripts/start.ts', ...args], { cwd: ROOT, encoding: 'utf8' })
  expect(again('--port', String(port))).toMatchObject({
    status: 1,
    stdout: '',
    stderr: `port ${port} is in use: npm start -- --port N takes N and N + 1\n`,
  })
  expect(again('--help')).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('--fault') })
  expect(again('--port', 'web')).toMatchObject({
    status: 2,
    stderr: '--port web: expected a port; usage: npm start -- [--port N] [--all] [--fault]\n',
  })
  expect(again('--prot', '1').stderr).toMatch(
    /^Unknown option '--prot'; usage: npm start -- \[--port N\] \[--all\] \[--fault\]\n$/,
  )
})

test('it ends with all that it started and wrote', async () => {
  expect(await demo.stop()).toBe(0)
  expect(existsSync(join(ROOT, '.banyan', `demo-${port}`))).toBe(false)
  for (const closed of [port, port + 1]) await expect(fetch(`http://127.0.0.1:${closed}/`)).rejects.toThrow()
})

test('with a fault planted in the new service, the comparison of both sides names the field', {
  timeout: 180_000,
}, async () => {
  const faulty = startProgram(['scripts/start.ts', '--port', String(await freePair()), '--fault'])
  try {
    await faulty.line((line) => line.includes('Ctrl-C'))
    const out = (await typed(faulty.log.filter((line) => line.startsWith('  ')))).join('')
    expect(out).toMatch(/^\/storeDetail\/\*\/price\/specialRetail +value +mismatch .*"15\.00" -> "16\.00"$/m)
    expect(out.match(/mismatch/g)).toHaveLength(1)
  } finally {
    await faulty.stop()
  }
})
