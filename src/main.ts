/**
 * The program: keeps compiled code between starts, then hands over to the command line.
 */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Without it each start strips and compiles every source anew: twice the start-up time, and some 25 MiB that stay. It must be
// on before the sources are loaded, hence the import below; where the folder can't be written, nothing is kept.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url)))
const [{ main }, { exitNow }] = await Promise.all([import('./command-line.ts'), import('./exit.ts')])
setTimeout(flushCompileCache, 2000).unref()

// Not only the exit code: an upstream's socket that is still closing must not keep a drained proxy alive.
exitNow(await main(process.argv.slice(2)))
