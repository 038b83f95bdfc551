/**
 * Starts banyan as its users do: `banyan serve` in a process of its own, with a table of the test's.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Program, startProgram } from './process.ts'

/** A proxy that runs. */
export interface Banyan {
  /** The public port, on 127.0.0.1. */
  readonly port: number
  /** The port for clients that speak TLS, or null where there is none. */
  readonly tlsPort: number | null
  /** The admin port, or null where the ready line names none. */
  readonly adminPort: number | null
  readonly pid: number
  /** The routes.yaml it runs on. */
  readonly tableFile: string
  /** Lines of stdout behind the ready line: the log. */
  readonly log: readonly string[]
  readonly program: Program
  /**
   * SIGTERM.
   * @returns the exit code
   * @throws where it has written to stderr unasked
   */
  stop(): Promise<number | null>
}

/** What to start. */
export interface BanyanOptions {
  /** The text of routes.yaml. */
  readonly table: string
  /** Flags beyond those for table, ports and access log; a flag given here wins. */
  readonly args?: readonly string[]
  /** Variables of its environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Flags of the Node that runs it. */
  readonly nodeFlags?: readonly string[]
  /** The test makes it complain: what it writes to stderr is no failure. */
  readonly complains?: boolean
}

/**
 * Starts banyan on free ports.
 * @returns when it accepts requests
 */
export async function startBanyan({
  table,
  args = [],
  env = {},
  nodeFlags = [],
  complains = false,
}: BanyanOptions): Promise<Banyan> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-test-'))
  const tableFile = join(folder, 'routes.yaml')
  writeFileSync(tableFile, table)
  const free = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const flags = ['--table', tableFile, ...free, '--access-log', 'none', '--workers', '0']
  const program = startProgram([...nodeFlags, 'bin/banyan.js', 'serve', ...flags, ...args], env)
  let ready = false
  const stop = async (): Promise<number | null> => {
    const code = await program.stop()
    rmSync(folder, { recursive: true, force: true })
    // A runtime warning or a stack there is a bug, whatever the test was about.
    if (ready && !complains && program.stderr !== '') throw new Error(`banyan wrote to stderr:\n${program.stderr}`)
    return code
  }
  try {
    const line = await program.line((one) => one.startsWith('banyan ready '))
    ready = true
    const port = Number(/^banyan ready http:\/\/[^ ]*:(\d+)/.exec(line)?.[1])
    const admin = /\badmin https?:\/\/[^ ]*:(\d+)/.exec(line)?.[1]
    const tls = /^banyan ready .*?\bhttps:\/\/[^ ]*:(\d+)/.exec(line.split(' admin ')[0] as string)?.[1]
    return {
      port,
      tlsPort: tls === undefined ? null : Number(tls),
      adminPort: admin === undefined ? null : Number(admin),
      pid: program.pid,
      tableFile,
      get log() {
        return program.log.filter((one) => one !== line)
      },
      program,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A table whose default upstream is one server of that port, with more lines for that upstream. */
export function tableFor(port: number, settings: readonly string[] = []): string {
  return [
    'version: 1',
    'upstreams:',
    '  main:',
    `    servers: [http://127.0.0.1:${port}]`,
    ...settings.map((line) => `    ${line}`),
    'default: main',
    '',
  ].join('\n')
}
