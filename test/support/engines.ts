/**
 * nginx and HAProxy of Debian, with configurations of the test's: checked, or started beside banyan.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { findProgram } from '../../scripts/need-tools.ts'

export type ProxyEngine = 'nginx' | 'haproxy'

/** An engine that runs. */
export interface RunningEngine {
  stop(): Promise<void>
}

/** What an engine says to a configuration: '' where it takes it. */
export function complaint(engine: ProxyEngine, config: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-engine-'))
  try {
    const [program, ...args] = commandOf(engine, config, folder)
    const check = engine === 'nginx' ? '-t' : '-c'
    const { status, stderr, stdout } = spawnSync(program as string, [check, ...args], { encoding: 'utf8' })
    return status === 0 ? '' : `${stdout}${stderr}`
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Starts an engine. @param port where the configuration makes it listen */
export async function startEngine(engine: ProxyEngine, config: string, port: number): Promise<RunningEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-engine-'))
  const [program, ...args] = commandOf(engine, config, folder)
  const child = spawn(program as string, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let told = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    told += text
  })
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    rmSync(folder, { recursive: true, force: true })
  }
  while (!(await listens(port))) {
    if (hasEnded(child)) {
      rmSync(folder, { recursive: true, force: true })
      throw new Error(`${engine} has ended: ${told}`)
    }
    await wait(10)
  }
  return { stop }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function commandOf(engine: ProxyEngine, config: string, folder: string): string[] {
  const program = findProgram(engine) ?? engine
  const file = join(folder, `${engine}.conf`)
  writeFileSync(file, engine === 'nginx' ? nginxFrame(folder, config) : config)
  return engine === 'nginx' ? [program, '-p', folder, '-c', file, '-e', 'stderr'] : [program, '-f', file]
}

/** What is around a file of the http block. */
function nginxFrame(folder: string, http: string): string {
  // Started by root, nginx would give its worker to an account that may not enter the temporary folder.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  return `${user}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr crit;
events {}
http {
access_log off;
keepalive_requests 1000000;
${temporary.join('\n')}
${http}
}
`
}
