/**
 * The Dockerfile: what it promises, and its images built and run step by step, where no container engine is needed.
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tableFor } from '../support/banyan.ts'
import type { Program } from '../support/process.ts'
import { checkHealth, giveToRoot, giveToUser, makeReadOnly, runImage, runToEnd } from './container.ts'
import { readDockerfile } from './dockerfile.ts'
import { Builder, type Image } from './image.ts'

const PROJECT = join(import.meta.dirname, '../..')
const dockerfile = readDockerfile(PROJECT)
const TARGETS = ['banyan', 'gtin-service', 'legacy-mock'] as const
const manifest = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))

let folder: string
let builder: Builder
const image = (target: string): Image => builder.build(target)
const running: Program[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-image-'))
  chmodSync(folder, 0o755)
  builder = new Builder(PROJECT, dockerfile, folder)
  for (const target of TARGETS) makeReadOnly(image(target))
})

afterAll(async () => {
  await Promise.all(running.map((program) => program.stop()))
  rmSync(folder, { recursive: true, force: true })
})

/** The address in a ready line, once the program has printed it. */
async function addressOf(program: Program, ready: string): Promise<string> {
  running.push(program)
  const line = await program.line((one) => one.startsWith(ready))
  return /http:\/\/[^ /]+:\d+/.exec(line)?.[0] as string
}

/** A command of an image on a free port of loopback instead of its own. */
const onFreePort = (words: readonly string[]): string[] =>
  words.map((word) => (/^0\.0\.0\.0:\d+$/.test(word) ? '127.0.0.1:0' : word))

/** The address that a HEALTHCHECK asks, moved to where the program listens. */
const askingAt = (address: string) => (words: readonly string[]) =>
  words.map((word) => word.replace(/^http:\/\/127\.0\.0\.1:\d+/, address))

test('the base image is an ARG that takes a digest, of the Node that the tests run on', () => {
  expect([...dockerfile.args]).toEqual([['NODE_IMAGE', 'node:26-slim']])
  const images = dockerfile.stages
    .map((stage) => stage.base)
    .filter((base) => !dockerfile.stages.some((s) => s.name === base))
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the Dockerfile's own syntax.
  expect(images).toEqual(['${NODE_IMAGE}'])
  expect(manifest.devDependencies.node).toMatch(/^26\./)
})

test('banyan is what is built where no target is named', () => {
  expect(dockerfile.stages.at(-1)?.name).toBe('banyan')
})

test.each(TARGETS)('%s runs unprivileged behind an init, tells its health, and says what it is', (target) => {
  const { user, entrypoint, healthcheck, labels, ports, cmd, env } = image(target)
  expect(user).toBe('node')
  expect(entrypoint.slice(0, -1)).toEqual(['/usr/bin/tini', '--', 'node'])
  expect(existsSync(join(image(target).root, entrypoint.at(-1) as string))).toBe(true)
  const base = dockerfile.stages.find((stage) => stage.name === 'base')
  expect(base?.steps.some(({ keyword, text }) => keyword === 'RUN' && /install .*\btini\b/s.test(text))).toBe(true)
  expect(labels.get('org.opencontainers.image.title')).toContain(target)
  expect(labels.get('org.opencontainers.image.licenses')).toContain(manifest.license)
  // What listens, what is exposed and what the health check asks are said in three places, and are the same.
  const listens = [...cmd, ...env.values()].flatMap((word) => /^[0-9.]+:(\d+)$/.exec(word)?.[1] ?? []).map(Number)
  // TLS is for who gives it certificates.
  expect(ports).toEqual(target === 'banyan' ? [...listens, 8443] : listens)
  expect(ports).toContain(Number(new URL(healthcheck.at(-1) as string).port))
})

test('the version, the commit and the time of a build become labels', () => {
  const { labels } = image('banyan')
  const given = dockerfile.stages
    .at(-1)
    ?.steps.filter((step) => step.keyword === 'ARG')
    .map((step) => step.text.split('=')[0])
  expect(given).toEqual(['VERSION', 'REVISION', 'CREATED'])
  for (const [label, arg] of [
    ['version', 'VERSION'],
    ['revision', 'REVISION'],
    ['created', 'CREATED'],
  ] as const) {
    expect(labels.get(`org.opencontainers.image.${label}`)).toContain(`\${${arg}}`)
  }
})

test('the image holds the production dependencies alone, and no file that only development needs', () => {
  const at = (path: string): string => join(image('banyan').root, 'app', path)
  for (const name of Object.keys(manifest.dependencies)) expect(existsSync(at(`node_modules/${name}`)), name).toBe(true)
  for (const name of Object.keys(manifest.devDependencies))
    expect(existsSync(at(`node_modules/${name}`)), name).toBe(false)
  for (const name of [
    'test',
    'bench',
    'docs',
    'Dockerfile',
    'routes.yaml',
    'legacy-mock',
    '.git',
    'src',
    'dist/gtin-service',
    'package-lock.json',
    'tsconfig.json',
  ]) {
    expect(existsSync(at(name)), name).toBe(false)
  }
})

test('the images run JavaScript: of the sources, only the legacy mock has any', () => {
  const files = (target: string) =>
    readdirSync(join(image(target).root, 'app/dist'), { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.includes('.'),
    )
  for (const target of ['banyan', 'gtin-service']) {
    expect(files(target).filter((file) => !file.endsWith('.js'))).toEqual([])
  }
})

test('the image is the command line too', async () => {
  const version = await runToEnd(image('banyan'), ['--version'])
  expect(version).toMatchObject({ status: 0, said: '', out: expect.stringContaining(`banyan ${manifest.version} `) })
})

test('the three images work together: read-only, unprivileged, until SIGTERM', async () => {
  const legacy = runImage(image('legacy-mock'), (words) => [...onFreePort(words), '--latency', 'none'])
  const legacyAt = await addressOf(legacy, 'legacy-mock ready')
  // As on a volume: the sync and the service are two containers of one image.
  const data = mkdtempSync(join(folder, 'gtin-'))
  giveToUser(data)
  const from = `${legacyAt}/?sample=4500`
  const synced = await runToEnd(image('gtin-service'), ['sync', '--from', from, '--data', data])
  expect(synced).toMatchObject({ status: 0, out: expect.stringMatching(/^sync done: full load/) })
  const gtin = runImage(image('gtin-service'), (words) => [
    ...onFreePort(words).map((word) => (word === '/var/lib/gtin' ? data : word)),
    '--name',
    'gtin-1',
    '--drain-delay',
    '0ms',
  ])
  const gtinAt = await addressOf(gtin, 'gtin-service ready')
  expect(await checkHealth(image('legacy-mock'), askingAt(legacyAt))).toEqual({ status: 0, said: '', out: '' })
  expect(await checkHealth(image('gtin-service'), askingAt(gtinAt))).toEqual({ status: 0, said: '', out: '' })

  const table = mountTable(Number(new URL(legacyAt).port), gtinAt)
  const banyan = runImage(image('banyan'), (words) => words, {
    BANYAN_TABLE: join(table, 'routes.yaml'),
    BANYAN_LISTEN: '127.0.0.1:0',
    BANYAN_ADMIN: '127.0.0.1:0',
  })
  const publicAt = await addressOf(banyan, 'banyan ready')
  const adminAt = /admin (http:\/\/\S+)/.exec(banyan.log[0] as string)?.[1] as string
  expect(await checkHealth(image('banyan'), askingAt(adminAt))).toEqual({ status: 0, said: '', out: '' })

  const lookup = `${publicAt}/stores/3/gtins/123456789012`
  expect((await fetch(lookup)).headers.get('server')).toMatch(/^CatalogEnterprise/)
  const moved = await fetch(`${adminAt}/routes/gtin-lookup`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: '{"percent": 100}',
  })
  expect(moved.status, await moved.text()).toBe(200)
  expect(await (await fetch(lookup)).json()).toMatchObject({ host: 'gtin-1', gtin: '123456789012' })
  // The edit is in the mounted folder, which alone may be written to.
  expect(readFileSync(join(table, 'routes.yaml'), 'utf8')).toContain('percent: 100')
  expect(readdirSync(join(table, '.banyan')), 'the revisions before it').not.toEqual([])

  expect(await banyan.stop()).toBe(0)
  const gone = await checkHealth(image('banyan'), askingAt(adminAt))
  expect(gone).toMatchObject({ status: 1, said: expect.stringContaining('ECONNREFUSED') })
  expect(await gtin.stop()).toBe(0)
  expect(await legacy.stop()).toBe(0)
  expect([banyan.stderr, gtin.stderr, legacy.stderr]).toEqual(['', '', ''])
})

test('a table that can only be read, as a ConfigMap, is served, and kept revisions are only memory', async () => {
  const table = mountTable(9, 'http://127.0.0.1:9')
  giveToRoot(table)
  const banyan = runImage(image('banyan'), (words) => words, {
    BANYAN_TABLE: join(table, 'routes.yaml'),
    BANYAN_LISTEN: '127.0.0.1:0',
    BANYAN_ADMIN: '127.0.0.1:0',
    BANYAN_KEEP_REVISIONS: '0',
  })
  await addressOf(banyan, 'banyan ready')
  const adminAt = /admin (http:\/\/\S+)/.exec(banyan.log[0] as string)?.[1] as string
  expect(await (await fetch(`${adminAt}/readyz`)).json()).toMatchObject({ ready: true })
  const moved = await fetch(`${adminAt}/routes/gtin-lookup`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: '{"percent": 100}',
  })
  expect([moved.status, moved.headers.get('content-type')]).toEqual([403, 'application/problem+json'])
  expect(await banyan.stop()).toBe(0)
})

test('without a table the image says so in one line, and ends', async () => {
  const { status, said } = await runToEnd(image('banyan'))
  expect(status).toBe(1)
  expect(said).toMatch(/^banyan: .*\/etc\/banyan\/routes\.yaml: .+\n$/)
})

/** What a deployment mounts at /etc/banyan: a folder with the table, which the image's user may write to. */
function mountTable(legacyPort: number, gtin: string): string {
  const mount = mkdtempSync(join(folder, 'etc-'))
  const text = tableFor(legacyPort).replace('default: main', `  gtin: { servers: [${gtin}] }\ndefault: main`)
  const route = '  - { id: gtin-lookup, match: { path: "/stores/:storeId/gtins/:gtin" }, to: gtin, percent: 0 }'
  writeFileSync(join(mount, 'routes.yaml'), `${text}routes:\n${route}\n`)
  giveToUser(mount)
  giveToUser(join(mount, 'routes.yaml'))
  return mount
}
