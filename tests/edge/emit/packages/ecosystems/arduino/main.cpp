// An Arduino core's own main, but for one turn.
void setup();
void loop();

int main() {
  setup();
  loop();
}
