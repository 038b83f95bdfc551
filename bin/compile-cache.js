/**
 * Keeps what was compiled of the program, in a checkout also what was stripped of its types, for the next start: without it a start
 * takes twice the time, and some 25 MiB more. Imported before the program, whose first files would have to be stripped otherwise,
 * for which Node loads a parser as large as all of them. If the folder can't be written, nothing is kept.
 */
// Not by name: a Node that has no such function must get as far as to say that it is too old.
import module from 'node:module'
import { fileURLToPath } from 'node:url'

module.enableCompileCache?.(fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url)))
