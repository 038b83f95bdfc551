/**
 * Starts the programs of the demo as processes of their own: the wrapped legacy application and the GTIN service.
 */
import { gtinData } from './gtin-data.ts'
import { type Program, startProgram } from './process.ts'

/** A program of the demo that runs. */
export interface DemoProgram {
  /** On 127.0.0.1. */
  readonly port: number
  readonly program: Program
  /** SIGTERM. @returns the exit code */
  stop(): Promise<number | null>
}

/** Starts legacy-mock on a free port. */
export function startLegacy(args: readonly string[] = []): Promise<DemoProgram> {
  return start('legacy-mock/main.ts', args)
}

/** Starts gtin-service on a free port; without `--data`, on data of its own that holds the seed product. */
export async function startGtin(args: readonly string[] = []): Promise<DemoProgram> {
  if (args.includes('--data')) return start('gtin-service/main.ts', args)
  const { folder, remove } = gtinData()
  const running = await start('gtin-service/main.ts', ['--data', folder, ...args])
  return { ...running, stop: () => running.stop().finally(remove) }
}

async function start(file: string, args: readonly string[]): Promise<DemoProgram> {
  const program = startProgram([file, '--listen', '127.0.0.1:0', ...args])
  try {
    const line = await program.line((one) => / ready http:\/\//.test(one))
    const port = Number(/ ready http:\/\/[^ /]*:(\d+)/.exec(line)?.[1])
    return { port, program, stop: () => program.stop() }
  } catch (error) {
    await program.stop()
    throw error
  }
}
