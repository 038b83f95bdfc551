/**
 * Looks for the programs that the tests or the benchmark start, and installs the missing ones with apt-get where it may.
 *
 * `node scripts/need-tools.ts test|bench`: silent when nothing is missing; exit 1 with one line where it cannot help.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** What the programs are needed for. */
export type Purpose = 'test' | 'bench'

interface Tool {
  readonly program: string
  /** The Debian package that brings it. */
  readonly package: string
}

/** A module of nginx, which is no program. */
const NGINX_STREAM = '/usr/lib/nginx/modules/ngx_stream_module.so'

const TOOLS = {
  test: [
    { program: 'make', package: 'make' },
    { program: 'curl', package: 'curl' },
    { program: 'bash', package: 'bash' },
    { program: 'setpriv', package: 'util-linux' },
    { program: 'taskset', package: 'util-linux' },
    { program: 'redis-server', package: 'redis-server' },
    { program: 'pebble', package: 'pebble' },
    { program: 'haproxy', package: 'haproxy' },
    { program: 'nginx', package: 'nginx' },
    { program: NGINX_STREAM, package: 'libnginx-mod-stream' },
    { program: 'chromium', package: 'chromium' },
    { program: 'h2load', package: 'nghttp2-client' },
  ],
  bench: [
    { program: 'nginx', package: 'nginx' },
    { program: 'haproxy', package: 'haproxy' },
    { program: 'wrk', package: 'wrk' },
    { program: 'h2load', package: 'nghttp2-client' },
    { program: 'varnishd', package: 'varnish' },
    { program: 'redis-server', package: 'redis-server' },
    { program: 'taskset', package: 'util-linux' },
    { program: 'chromium', package: 'chromium' },
  ],
} satisfies Record<Purpose, readonly Tool[]>

/** Where Debian puts servers; not in the PATH of everybody. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** A maintainer script asks this file whether it may start a service (deb-policy: invoke-rc.d); 101 means no. */
const POLICY_FILE = '/usr/sbin/policy-rc.d'

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The absolute path of a program, or null where the machine has none of that name. */
export function findProgram(name: string): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const folder of [...folders, ...SYSTEM_FOLDERS]) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not here: the next folder may have it.
    }
  }
  return null
}

/**
 * Makes sure that the programs of a purpose are there. Returns null when they are,
 * else one line that says what is missing and how to get it.
 */
export function needTools(purpose: Purpose): string | null {
  const missing = missingTools(purpose)
  if (missing.length === 0) return null
  const packages = [...new Set(missing.map((tool) => tool.package))]
  const names = missing.map((tool) => tool.program).join(', ')
  const advice = `banyan: missing ${names}: run 'apt-get install ${packages.join(' ')}' as root, then try again`
  if (process.getuid?.() !== 0 || findProgram('apt-get') === null) return advice
  console.error(`banyan: installing ${packages.join(', ')} with apt-get`)
  const problem = install(packages)
  if (problem !== null) return `${advice} (${problem})`
  const still = missingTools(purpose).map((tool) => tool.program)
  return still.length === 0
    ? null
    : `banyan: apt-get installed ${packages.join(', ')}, yet ${still.join(', ')} is missing`
}

function missingTools(purpose: Purpose): readonly Tool[] {
  const tools: readonly Tool[] = TOOLS[purpose]
  return tools.filter(({ program }) => (program.startsWith('/') ? !existsSync(program) : findProgram(program) === null))
}

/** Installs Debian packages without starting or enabling their services. Returns null, or why it failed. */
function install(packages: readonly string[]): string | null {
  const ownPolicy = !existsSync(POLICY_FILE)
  // Ctrl-C ends apt-get; this process has to live on to take its policy away again.
  const goOn = (): void => {}
  for (const signal of ENDING_SIGNALS) process.on(signal, goOn)
  if (ownPolicy) writeFileSync(POLICY_FILE, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const problem = aptGet(['update', '-q']) ?? aptGet(['install', '-y', '-q', '--no-install-recommends', ...packages])
    if (problem !== null) return problem
  } finally {
    if (ownPolicy) rmSync(POLICY_FILE, { force: true })
    for (const signal of ENDING_SIGNALS) process.off(signal, goOn)
  }
  // Not started now, but a package that brings a unit enables it for the next boot.
  if (existsSync('/run/systemd/system')) {
    for (const name of packages) spawnSync('systemctl', ['disable', '--now', name], { stdio: 'ignore' })
  }
  return null
}

function aptGet(args: readonly string[]): string | null {
  const done = spawnSync('apt-get', args, {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    maxBuffer: 64 * 1024 * 1024,
  })
  if (done.status === 0) return null
  const said = (done.stderr ?? '').trim().split('\n').at(-1)
  return said || done.error?.message || `apt-get ${args[0]} ended with ${done.status ?? done.signal}`
}

if (import.meta.main) {
  const purpose = process.argv[2]
  if (purpose !== 'test' && purpose !== 'bench') {
    console.error('usage: node scripts/need-tools.ts test|bench')
    process.exit(2)
  }
  const problem = needTools(purpose)
  if (problem !== null) {
    console.error(problem)
    process.exit(1)
  }
}
