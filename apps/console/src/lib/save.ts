/** Saves an answer as a file. The request needs a token, so a plain link cannot do it. */

interface FileTarget {
  createWritable(): Promise<WritableStream<Uint8Array>>;
}

type Picker = (options: { readonly suggestedName: string }) => Promise<FileTarget>;

/**
 * Where the browser lets a page write to a file, the answer goes there piece by piece, however large it is. Elsewhere it is collected
 * in memory first.
 * @returns false when the reader changed their mind
 */
export async function saveAs(
  name: string,
  ask: () => Promise<Response>,
  onProgress: (loadedBytes: number) => void,
): Promise<boolean> {
  const { showSaveFilePicker: pick } = globalThis as { readonly showSaveFilePicker?: Picker };
  if (pick !== undefined) {
    const target = await pick({ suggestedName: name }).catch((error: unknown) => {
      if (error instanceof DOMException && error.name === 'AbortError') return undefined;
      throw error;
    });
    if (target === undefined) return false;
    const { body } = await ask();
    await body?.pipeThrough(counting(onProgress)).pipeTo(await target.createWritable());
    return true;
  }
  const answer = await ask();
  const blob = await new Response(answer.body?.pipeThrough(counting(onProgress))).blob();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return true;
}

function counting(onProgress: (loadedBytes: number) => void): TransformStream<Uint8Array, Uint8Array> {
  let loaded = 0;
  return new TransformStream({
    transform(chunk, controller) {
      loaded += chunk.byteLength;
      onProgress(loaded);
      controller.enqueue(chunk);
    },
  });
}
