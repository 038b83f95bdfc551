/**
 * What a contestant is: a proxy that can be put in front of the upstream; and how those written for Node are started.
 */
import { fileURLToPath } from 'node:url'
import type { Running, Stage } from '../harness/stage.ts'

/** Where and how a contestant is to run. */
export interface Setup {
  readonly stage: Stage
  /** The port of 127.0.0.1 it listens on. */
  readonly port: number
  /** The port of 127.0.0.1 where the upstream answers. */
  readonly upstreamPort: number
  /** The file it writes its access log to, or null for none. */
  readonly accessLog: string | null
  /** How many routes its table holds. Only banyan has one. */
  readonly routes: number
  /** Percent of the measured requests that are copied and compared. Only banyan can. */
  readonly shadow: number
  /** Flags for the Node that runs it, such as `--cpu-prof`. Only banyan takes them. */
  readonly nodeFlags: readonly string[]
}

/** A proxy to measure. */
export interface Contestant {
  /** As in `--only` and in the tables. */
  readonly name: string
  /** What it is and how it is set, in one line. */
  readonly about: string
  /** Whether it is measured with WebSockets too. */
  readonly upgrades: boolean
  /** Whether its packages are those of bench/package.json. */
  readonly fromPeers: boolean
  /** Why it can't be measured here, or null; default: it always can. */
  whyNot?(): string | null
  /** Starts it on the proxy's core; resolves when it answers, throws where it cannot. */
  start(setup: Setup): Promise<Running>
}

/** Starts a contestant whose file, run as a program, listens on its first argument and forwards to its second. */
export function startNode(name: string, fileUrl: string, setup: Setup): Promise<Running> {
  const { stage, port, upstreamPort } = setup
  return stage.start({
    name,
    core: 'proxy',
    command: [process.execPath, fileURLToPath(fileUrl), String(port), String(upstreamPort)],
    ready: { port },
  })
}

/** What such a program was told. */
export function portsOfProgram(): { readonly port: number; readonly upstream: string } {
  return { port: Number(process.argv[2]), upstream: `http://127.0.0.1:${process.argv[3]}` }
}

/** Enough sockets to the upstream that none of 32 clients ever waits for one. */
export const MAX_SOCKETS = 256
