'use strict';
// A browser starts no worker for a page that is read from the disk. There the search runs in a hidden frame instead.
if (location.protocol === 'file:') {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement('iframe');
      this.frame.hidden = true;
      document.body.append(this.frame);
      addEventListener('message', (event) => {
        if (event.source !== this.frame.contentWindow) return;
        const heard = new MessageEvent('message', { data: event.data });
        this.dispatchEvent(heard);
        this.onmessage?.(heard);
      });
      const inside = this.frame.contentDocument;
      inside.open();
      inside.write('<script>self.postMessage = (data) => parent.postMessage(data, "*");</' + 'script><script src="' + url + '"></' + 'script>');
      inside.close();
    }

    postMessage(data) {
      const tell = () => this.frame.contentWindow.dispatchEvent(new MessageEvent('message', { data: structuredClone(data) }));
      if (this.frame.contentDocument.readyState === 'complete') tell();
      else this.frame.contentWindow.addEventListener('load', tell);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
