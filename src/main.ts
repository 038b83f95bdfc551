/**
 * The entry point: enables the compile cache and runs the command line.
 */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ignoreSignals } from './processes/signals.ts'

ignoreSignals(process.argv[2])
// Without it each start strips and compiles all sources: twice the start-up time and some 25 MiB of memory. It must be
// enabled before the sources are loaded, hence the import below; if the folder can't be written, nothing is cached.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url)))
// An import of node:http reads all its exports, and these load undici: 45 ms of CPU at each start. Middleware has them as globals.
const http: Partial<typeof import('node:http')> = process.getBuiltinModule('node:http')
for (const name of ['WebSocket', 'CloseEvent', 'MessageEvent'] as const) delete http[name]
const [{ main }, { exitNow }] = await Promise.all([import('./command-line.ts'), import('./exit.ts')])
setTimeout(flushCompileCache, 2000).unref()

// Not just process.exitCode: a closing upstream socket must not keep a drained proxy alive.
exitNow(await main(process.argv.slice(2)))
