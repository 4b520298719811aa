module curg.test/go_task_profile

go 1.21
