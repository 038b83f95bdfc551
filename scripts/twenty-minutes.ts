/**
 * `npm run twenty-minutes`: takes a code change in gtin-service through its tests, packaging and a rolling deploy behind the
 * running proxy, under load, to live; prints the time of each step and the failed requests.
 *
 * `node scripts/twenty-minutes.ts [--patch FILE] [--tests PATH]`: FILE is a diff against this project; without it, answers
 * stay fresh for two minutes instead of one. PATH is the part of the tests to run (test/gtin-service). What is deployed is built as the
 * image builds it, and serves the copy that a sync of a sample has made. Exit 0 when the change is live and no request failed, else 1. All of it happens on loopback
 * and in a temporary folder.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { buildOf } from '../gtin-service/metrics.ts'
import { CLIENTS, Load } from './twenty-minutes-load.ts'

const PROJECT = join(import.meta.dirname, '..')
const INSTANCES = 3

/** What a service's change needs to be checked, built and tested. */
const WORKSPACE = [
  ...['gtin-service', 'legacy-mock', 'test', 'src', 'scripts', 'bench', 'bin'],
  ...['package.json', 'tsconfig.json', 'tsconfig.build.json', 'vitest.config.ts'],
]
/** The service as it was before the change and as it is deployed: what the Dockerfile's target gtin-service builds. */
const PROGRAM = 'dist/gtin-service/main.js'
/** Where the demo's sync puts its products, in the folder of the run: every 900th, the one that the load asks for among them. */
const SAMPLE = 900

/** What the command line says. */
interface Asked {
  readonly patch: string | null
  readonly tests: string
}

/** One process, that has said it is ready at an address. */
interface Running {
  readonly child: ChildProcess
  readonly url: string
}

const running = new Set<ChildProcess>()

/** Starts a program and resolves with the addresses of its ready line. @throws where it ends before that */
async function start(folder: string, args: readonly string[]): Promise<Running & { readonly admin: string }> {
  const child = spawn(process.execPath, [...args], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  running.add(child)
  child.once('close', () => running.delete(child))
  const ready = new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout!.setEncoding('utf8').on('data', (more: string) => {
      text += more
      const line = / ready http.*(?=\n)/.exec(text)?.[0]
      if (line !== undefined) resolve(line)
      // What comes later is a log: it has to be read, and nobody needs it.
      if (line !== undefined || text.length > 65_536) text = ''
    })
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`${args[0]} ended with ${code} before it was ready`)))
  })
  const [url = '', admin = ''] = (await ready).match(/http:\/\/[^ ]+/g) ?? []
  return { child, url, admin }
}

/** SIGTERM. @throws where the program does not drain to exit 0 */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  const [code] = (await closed) as [number | null]
  if (code !== 0) throw new Error(`${child.spawnargs[1]} ended with ${code}`)
}

/** Starts an instance of a release of the service, on the data that it finds. */
function startGtin(release: string, name: string): Promise<Running> {
  return start(release, [PROGRAM, '--listen', '127.0.0.1:0', '--name', name, '--data', join(release, '..', 'data')])
}

/** The table of the demo, with every lookup at the new service. No `fallback`: a failure must show, not be mended. */
function tableText(legacy: string, gtins: readonly Running[]): string {
  return `version: 1
upstreams:
  legacy: { servers: [${legacy}] }
  gtin:
    servers:
${gtins.map(({ url }) => `      - ${url}`).join('\n')}
default: legacy
routes:
  - id: gtin-lookup
    match: { path: "/stores/:storeId/gtins/:gtin", methods: [GET, HEAD] }
    to: gtin
    percent: 100
`
}

/** Replaces a file as a whole, as an operator's editor does, and resolves when the proxy has it in force. */
async function putInForce(file: string, text: string, admin: string): Promise<void> {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
  const deadline = Date.now() + 10_000
  while ((await (await fetch(`${admin}/routes.yaml`)).text()) !== text) {
    if (Date.now() > deadline) throw new Error(`the proxy does not take the table ${file}`)
    await wait(20)
  }
}

/** Makes the change in a copy of the project; returns what it is, in words. @throws where it can't be made */
async function makeChange(folder: string, patch: string | null): Promise<string> {
  for (const name of WORKSPACE) cpSync(join(PROJECT, name), join(folder, name), { recursive: true })
  symlinkSync(join(PROJECT, 'node_modules'), join(folder, 'node_modules'))
  if (patch !== null) {
    await run(folder, 'git', ['apply', patch])
    return patch
  }
  let changed = 0
  for (const part of ['gtin-service', 'test/gtin-service']) {
    for (const file of readdirSync(join(folder, part), { recursive: true, encoding: 'utf8' })) {
      const path = join(folder, part, file)
      if (!file.endsWith('.ts') || !statSync(path).isFile()) continue
      const text = readFileSync(path, 'utf8')
      if (!text.includes('max-age=60')) continue
      writeFileSync(path, text.replaceAll('max-age=60', 'max-age=120'))
      changed++
    }
  }
  if (changed === 0) throw new Error('gtin-service says max-age=60 nowhere: give a change with --patch')
  return `Cache-Control: public, max-age=120, in ${changed} files`
}

/** Runs a program to its end, while the load goes on. @throws with all it has said where it fails */
async function run(folder: string, program: string, args: readonly string[]): Promise<void> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS)/.test(name)))
  const child = spawn(program, [...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  running.delete(child)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${said}`)
}

/** Builds what the image builds (Dockerfile), packs it, and unpacks it where it is run from. Returns what the package is, in words. */
async function makePackage(workspace: string, release: string, built: string): Promise<string> {
  const archive = `${release}.tar.gz`
  const project = join(workspace, 'gtin-service', 'tsconfig.build.json')
  await run(workspace, process.execPath, [
    'node_modules/typescript/bin/tsc',
    '--project',
    project,
    '--outDir',
    join(built, 'dist'),
  ])
  cpSync(join(workspace, 'package.json'), join(built, 'package.json'))
  await run(built, 'tar', ['--create', '--gzip', '--file', archive, 'package.json', 'dist'])
  mkdirSync(release)
  await run(release, 'tar', ['--extract', '--file', archive])
  const bytes = readFileSync(archive)
  return `${Math.ceil(bytes.length / 1024)} KiB, sha256 ${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`
}

/** Runs a step and prints its time. */
async function step<T>(name: string, work: () => T | Promise<T>, tell: (result: T) => string = () => ''): Promise<T> {
  const from = performance.now()
  const result = await work()
  const seconds = ((performance.now() - from) / 1000).toFixed(1)
  console.log(`${name.padEnd(12)}${seconds.padStart(7)} s   ${tell(result)}`)
  return result
}

/**
 * Proves by content that the new code answers: every instance behind the proxy tells the digest of the program that was built, no
 * answer through the proxy is another one's, and the change that is made by default shows in the answer. @throws where it isn't so
 */
async function proveLive(load: Load, gtins: readonly Running[], release: string, isDefault: boolean): Promise<string> {
  const build = buildOf(join(release, dirname(PROGRAM)))
  for (const { url } of gtins) {
    const told = /^gtin_build_info\{build="(\w+)"\}/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]
    if (told !== build) throw new Error(`the change is not live: ${url} runs ${told}, and not ${build}`)
  }
  for (let n = 0; n < 30; n++) {
    const answer = await load.ask()
    if (!answer.host.endsWith('-next') || (isDefault && answer.freshness !== 'public, max-age=120')) {
      throw new Error(`the change is not live: ${JSON.stringify(answer)}`)
    }
  }
  return `all ${gtins.length} instances run build ${build}; 30 of 30 answers are theirs`
}

/** In this order no request meets a server that isn't there: start the new one, add it, take the old one out, end it. */
async function replaceOne(
  gtins: Running[],
  index: number,
  from: string,
  put: (gtins: readonly Running[]) => Promise<void>,
): Promise<void> {
  const old = gtins[index] as Running
  const next = await startGtin(from, `gtin-${index + 1}-next`)
  gtins[index] = next
  await put([...gtins, old])
  await put(gtins)
  await stop(old.child)
}

async function main(): Promise<number> {
  const { patch, tests } = parseArgs({ options: { patch: { type: 'string' }, tests: { type: 'string' } } }).values
  const folder = mkdtempSync(join(tmpdir(), 'banyan-twenty-'))
  const begun = performance.now()
  const interrupted = (): void => {
    for (const child of running) child.kill('SIGTERM')
    rmSync(folder, { recursive: true, force: true })
    process.exit(130)
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  try {
    const file = patch === undefined ? null : resolve(patch)
    return await change(folder, { patch: file, tests: tests ?? 'test/gtin-service' }, begun)
  } finally {
    await Promise.allSettled([...running].toReversed().map(stop))
    rmSync(folder, { recursive: true, force: true })
  }
}

async function change(folder: string, { patch, tests }: Asked, begun: number): Promise<number> {
  const workspace = join(folder, 'workspace')
  const [before, release] = [join(folder, 'before'), join(folder, 'release')]
  const file = join(folder, 'routes.yaml')
  const gtins: Running[] = []
  const [load, admin, legacy] = await step(
    'before',
    async () => {
      const wrapped = await start(PROJECT, ['legacy-mock/main.ts', '--listen', '127.0.0.1:0', '--latency', 'none'])
      await makePackage(PROJECT, before, join(folder, 'built'))
      const from = `${wrapped.url}/?sample=${SAMPLE}`
      await run(before, process.execPath, [
        PROGRAM,
        'sync',
        '--from',
        from,
        '--data',
        join(folder, 'data'),
        '--no-gzip',
      ])
      for (let n = 1; n <= INSTANCES; n++) gtins.push(await startGtin(before, `gtin-${n}`))
      writeFileSync(file, tableText(wrapped.url, gtins))
      const ports = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--access-log', 'none', '--workers', '0']
      const banyan = await start(PROJECT, ['bin/banyan.js', 'serve', '--table', file, ...ports])
      return [new Load(banyan.url), banyan.admin, wrapped.url] as const
    },
    () => `the proxy serves, and ${CLIENTS} clients ask it all the time`,
  )
  try {
    await step(
      'change',
      () => makeChange(workspace, patch),
      (what) => what,
    )
    await step('types', () => run(workspace, process.execPath, ['node_modules/typescript/bin/tsc', '--noEmit']))
    await step('tests', () => run(workspace, process.execPath, ['node_modules/vitest/vitest.mjs', 'run', tests]))
    await step(
      'package',
      () => makePackage(workspace, release, join(folder, 'built-next')),
      (what) => what,
    )
    for (let n = 0; n < INSTANCES; n++) {
      const put = (servers: readonly Running[]) => putInForce(file, tableText(legacy, servers), admin)
      await step(`deploy ${n + 1}/${INSTANCES}`, () => replaceOne(gtins, n, release, put))
    }
    await step(
      'live',
      () => proveLive(load, gtins, release, patch === null),
      (what) => what,
    )
  } finally {
    await load.stop()
  }
  const minutes = ((performance.now() - begun) / 60_000).toFixed(1)
  console.log(`\nfrom the change to production in ${minutes} minutes; ${load.failed} of ${load.total} requests failed`)
  for (const [what, count] of load.failures) console.log(`  ${count} x ${what}`)
  return load.failed === 0 ? 0 : 1
}

if (import.meta.main) {
  process.exitCode = await main().catch((error: Error) => {
    console.error(`twenty-minutes: ${error.message}`)
    return 1
  })
}
